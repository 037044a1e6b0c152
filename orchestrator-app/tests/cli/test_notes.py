from __future__ import annotations

from ai_orchestrator.cli.notes import answer_note, seam_note

DONE = {"tier": "desktop", "model": "builtin", "reason": "", "finish_reason": "stop"}


def test_who_answers_is_said_once() -> None:
    assert answer_note(DONE) == "desktop · builtin"
    assert answer_note(DONE, DONE) is None
    other = {**DONE, "tier": "vps", "reason": "the desktop is away"}
    assert answer_note(other, DONE) == "vps · builtin (the desktop is away)"


def test_what_was_left_out_is_said_every_time() -> None:
    receipt = {
        "documents": [
            {"name": "SESSION_LOG.md", "tokens_left_out": 120},
            {"name": "PROJECT_CONTEXT.md", "tokens_left_out": 0},
        ],
        "history": {"kept": 4, "dropped": 2},
    }
    note = answer_note({**DONE, "receipt": receipt}, DONE)
    assert note == "SESSION_LOG.md: 120 tokens left out · 2 earlier messages left out"


def test_recalled_passages_are_told() -> None:
    assert answer_note({"receipt": {"retrieved": [{}, {}]}}) == "2 earlier passages recalled"
    assert answer_note({"receipt": {"retrieved": []}}) is None


def test_an_answer_that_was_cut_or_stopped_says_so() -> None:
    assert "token limit" in (answer_note({**DONE, "finish_reason": "length"}, DONE) or "")
    assert answer_note({**DONE, "finish_reason": "cancelled"}, DONE) == "stopped"


def test_missing_fields_are_no_error() -> None:
    assert answer_note({}) is None
    assert seam_note({}) == "[continued by another engine]"
    assert seam_note({"tier": "vps", "model": "m"}) == "[continued by vps · m]"
    assert "replaces" in seam_note({"tier": "desktop", "from": 4})
