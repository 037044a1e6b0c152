from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest
from orchestrator_core.prompt.history import ConversationHistory
from orchestrator_core.prompt.turns import Turn, question_text, time_line, turns_of
from support.prompt_data import AT, conversation, message

BERLIN = timezone(timedelta(hours=2))


def test_a_question_carries_its_time_and_the_extra_context() -> None:
    assert question_text("Hello", AT, zone=UTC) == "[Friday, 2026-10-02 12:03 UTC+00:00]\n\nHello"
    assert question_text("Hello", AT, context=" Be kind. ", zone=BERLIN) == (
        "[Friday, 2026-10-02 14:03 UTC+02:00]\n\nAdditional context:\nBe kind.\n\nHello"
    )
    assert question_text("Hello", AT, context="  ", zone=UTC).count("context") == 0


@pytest.mark.parametrize("at", ["", "yesterday", "0001-01-01T00:00:00Z"])
def test_a_time_that_is_none_gives_no_line(at: str) -> None:
    assert time_line(at, BERLIN if at != "0001-01-01T00:00:00Z" else timezone(timedelta(hours=-5))) == ""


def shapes(turns: list[Turn]) -> list[list[str]]:
    return [[m.content.rsplit("]\n\n", 1)[-1] for m in turn.messages] for turn in turns]


def test_turns_are_questions_with_their_answers() -> None:
    assert shapes(turns_of(conversation(["q1", "a1", "q2", "a2", "q3"]))) == [
        ["q1", "a1"],
        ["q2", "a2"],
        ["q3"],
    ]


def test_an_answer_follows_its_question_also_when_another_came_between() -> None:
    said = [
        message(1, "user", "q1"),
        message(2, "user", "q2"),
        message(3, "assistant", "a2", "m2"),
        message(4, "assistant", "a1", "m1"),
    ]
    assert shapes(turns_of(said)) == [["q1", "a1"], ["q2", "a2"]]


def test_what_is_neither_question_nor_answer_is_no_turn() -> None:
    said = [
        message(1, "assistant", "an answer whose question was not loaded", "m0"),
        message(2, "system", "s"),
        message(3, "user", "q"),
        message(4, "tool", "t"),
        message(5, "assistant", ""),
        message(6, "assistant", "imported, names no question"),
    ]
    assert shapes(turns_of(said)) == [["q", "imported, names no question"]]


def test_history_counts_what_it_drops_and_keeps_whole_turns() -> None:
    said = conversation([f"t{n}" for n in range(20)])
    history = ConversationHistory(said, None, lambda turn: 10, window=1000)
    kept = history.kept(45)
    assert kept.turns
    assert kept.message_count + kept.dropped == 20
    assert all(len(turn.messages) == 2 for turn in kept.turns)
    assert kept.tokens == 10 * len(kept.turns) <= 45
    assert history.none().dropped == 20
    assert history.kept(-5).turns == ()


def test_turns_too_old_to_be_loaded_count_as_dropped_and_do_not_move_the_cut() -> None:
    said = conversation([f"t{n}" for n in range(80)])
    whole = ConversationHistory(said, 40, lambda turn: 10, window=1000).kept(100)
    partly = ConversationHistory(said[-30:], 40, lambda turn: 10, window=1000).kept(100)
    assert [turn.texts for turn in partly.turns] == [turn.texts for turn in whole.turns]
    assert partly.dropped == whole.dropped


def test_only_turns_that_could_fit_the_window_are_counted() -> None:
    counted: list[Turn] = []

    def cost(turn: Turn) -> int:
        counted.append(turn)
        return 10

    ConversationHistory(conversation([f"t{n}" for n in range(2000)]), None, cost, window=200)
    assert len(counted) == 21
