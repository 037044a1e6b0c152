"""The desktop is lost in the middle of an answer: the client sees one whole answer, and it is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orchestrator_core.backend import Prompt
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import ModelNotFound, TierLost
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.spec import RunState
from support.run_clients import RunClient
from support.scripted import Gate, Reply, ScriptedBackend
from support.scripted.script import words
from support.two_tiers import WAIT, TwoTiers, kinds, last, lost_after, two_tiers

DESKTOP_SAYS = "The desktop knows: a seam is where 🦜 another one goes on."
VPS_SAYS = " And the vps ends it."
TOKENS = words(DESKTOP_SAYS)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoTiers]:
    """One pair for many questions: each in a conversation of its own."""
    desktop = ScriptedBackend(otherwise=DESKTOP_SAYS, name="large")
    vps = ScriptedBackend(otherwise=VPS_SAYS, name="small")
    with two_tiers(tmp_path_factory.mktemp("two"), desktop, vps) as pair:
        yield pair


def cut(pair: TwoTiers, conversation_id: str, change: Callable[[Iterator[bytes]], Iterator[bytes]]) -> Run:
    pair.desktop.conversations.create(conversation_id)
    pair.wire.change = change
    try:
        run = pair.ask(conversation_id=conversation_id)
        run.wait(WAIT)
        return run
    finally:
        pair.wire.change = lambda chunks: chunks


def check(pair: TwoTiers, run: Run, conversation_id: str, from_desktop: int) -> None:
    """Everything that has to hold after a cut behind so many tokens."""
    text = "".join(TOKENS[:from_desktop]) + VPS_SAYS
    client = RunClient()
    client.follow(run)
    assert client.text == run.text == text
    assert kinds(run).count("seam") == (1 if from_desktop else 0)
    done = last(run).data
    assert (done["response"], done["tier"], done["model"]) == (text, "vps", "small")
    assert done["receipt"]["tier"] == "vps"
    (seam,) = done["receipt"]["seams"]
    assert (seam["tier"], seam["model"]) == ("vps", "small")
    assert seam["reason"] == done["reason"]
    assert seam["offset"] == (from_desktop + 1 if from_desktop else 0)
    own = pair.desktop_run(run)
    assert own.text == DESKTOP_SAYS
    assert pair.said(conversation_id) == [("user", "What is it?"), ("assistant", text)]
    answer, versions = pair.answer(conversation_id)
    assert (answer.message_id, answer.tier, answer.content) == (done["message_id"], "vps", text)
    assert [(one.message_id, one.content) for one in versions] == [(own.spec.message_id, DESKTOP_SAYS)]
    assert pair.vps.conversations.get(conversation_id).turn_count == 1


@pytest.mark.parametrize("tokens", range(len(TOKENS) + 1))
def test_lost_behind_every_token(pair: TwoTiers, tokens: int) -> None:
    conversation_id = f"cut-{tokens}"
    run = cut(pair, conversation_id, lost_after(tokens))
    check(pair, run, conversation_id, tokens)


def test_not_lost_at_all(pair: TwoTiers) -> None:
    run = cut(pair, "whole", lost_after(len(TOKENS) + 1))
    assert run.text == DESKTOP_SAYS
    assert last(run).data["tier"] == "desktop"
    assert "seam" not in kinds(run)


def frames(chunks: Iterator[bytes]) -> list[bytes]:
    return [b"".join(chunks)]


def tokens_in(data: bytes) -> int:
    """Whole token events at the beginning of a stream."""
    return sum(b'data: {"token"' in block for block in data.split(b"\n\n")[:-1])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(at=st.integers(0, 900), piece=st.integers(1, 50), honest=st.booleans())
def test_lost_behind_any_byte(pair: TwoTiers, at: int, piece: int, honest: bool) -> None:
    """In the middle of a character, of an event or of a chunk; told by an error, or by silence's end."""
    passed: list[bytes] = []

    def change(chunks: Iterator[bytes]) -> Iterator[bytes]:
        data = b"".join(chunks)
        stream = data[: min(at, data.index(b'"done"') - 10)]
        passed.append(stream)
        yield from (stream[i : i + piece] for i in range(0, len(stream), piece))
        if honest:
            raise TierLost("The connection was lost.")

    number = len(pair.desktop.conversations.list(10_000))
    run = cut(pair, f"byte-{number}", change)
    check(pair, run, f"byte-{number}", tokens_in(passed[0]))


GARBAGE = {
    "html": b"<html><body>502 Bad Gateway</body></html>\n\n",
    "half a character": b'data: {"token": "\xf0\x9f"}\n\n',
    "no json": b"data: {token\n\n",
    "a list": b"data: [1, 2]\n\n",
    "no event": b'data: {"other": 1}\n\n',
    "a token that is none": b'data: {"token": 7}\n\n',
    "deep": b"data: " + b"[" * 100_000 + b"\n\n",
    "zeros": bytes(1000) + b"\n\n",
    "another answer": b'data: {"done": true, "response": "Something else.", "message_id": "x"}\n\n',
    "no answer": b'data: {"done": true}\n\n',
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_taken_for_a_loss(pair: TwoTiers, name: str) -> None:
    def change(chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield from [next(chunks) for _ in range(3)]  # the comment, and two tokens
        yield GARBAGE[name]
        yield from chunks

    run = cut(pair, f"garbage {name}".replace(" ", "-"), change)
    check(pair, run, f"garbage {name}".replace(" ", "-"), 2)


def test_an_event_without_end_is_taken_for_a_loss(pair: TwoTiers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator_core.event_stream.MAX_EVENT_BYTES", 10_000)

    def change(chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield next(chunks)
        for _ in range(20):
            yield b"x" * 1000

    check(pair, cut(pair, "endless", change), "endless", 0)


def test_nothing_is_doubled_when_only_the_end_was_lost(open_pair: Any) -> None:
    """A model that is given a whole answer has nothing to add."""
    pair = open_pair(vps=ScriptedBackend(otherwise=DESKTOP_SAYS, name="small"))
    pair.wire.change = lost_after(len(TOKENS))
    run = pair.ask()
    assert run.wait(WAIT).text == DESKTOP_SAYS
    assert pair.said()[-1] == ("assistant", DESKTOP_SAYS)
    assert kinds(run) == ["token"] * len(TOKENS) + ["seam", "done"]


def test_nothing_is_added_to_an_answer_of_the_wanted_length(open_pair: Any) -> None:
    pair = open_pair()
    pair.wire.change = lost_after(4)
    run = pair.ask(max_tokens=4)
    assert run.wait(WAIT).text == "".join(TOKENS[:4])
    assert last(run).data["finish_reason"] == "length"


def test_the_rest_is_as_long_as_was_asked(open_pair: Any) -> None:
    pair = open_pair()
    pair.wire.change = lost_after(4)
    assert pair.ask(max_tokens=6).wait(WAIT).text == "".join(TOKENS[:4] + words(VPS_SAYS)[:2])


def test_the_vps_goes_on_with_the_same_question_and_what_was_said_before(open_pair: Any) -> None:
    vps = ScriptedBackend(otherwise=VPS_SAYS, name="small")
    pair = open_pair(vps=vps)
    pair.ask("Before?").wait(WAIT)
    pair.wire.change = lost_after(2)
    pair.ask("What is it?", context="Extra words.", temperature=0.1).wait(WAIT)
    (call,) = vps.calls
    assert call.continue_from == "".join(TOKENS[:2])
    text = call.prompt.text
    assert text.index("Before?") < text.index(DESKTOP_SAYS) < text.index("Extra words.")
    assert text.index("Extra words.") < text.index("What is it?")
    assert text.count("What is it?") == 1
    assert call.config.temperature == 0.1


def test_a_client_that_comes_back_at_any_offset_sees_the_same(pair: TwoTiers) -> None:
    run = cut(pair, "offsets", lost_after(5))
    events = [(event.offset, event.kind) for event in run.events() if event is not None]
    assert [offset for offset, _ in events] == list(range(1, len(events) + 1))
    for offset, _ in events:
        client = RunClient()
        client.read(run, offset)
        client.follow(run)
        assert client.text == run.text


def test_when_the_own_model_cannot_go_on_either_what_was_said_is_kept(open_pair: Any) -> None:
    broken = ScriptedBackend(
        otherwise="never", load_errors=[ModelNotFound("There is no model on this VPS.")] * 20
    )
    pair = open_pair(vps=broken)
    pair.wire.change = lost_after(3)
    run = pair.ask()
    result = run.wait(WAIT)
    assert (result.state, result.text) == (RunState.FAILED, "".join(TOKENS[:3]))
    assert last(run).data["error"]["code"] == "model_not_found"
    pair.desktop_run(run)
    assert pair.said()[-1] == ("assistant", "".join(TOKENS[:3]))
    answer, versions = pair.answer()
    assert (answer.tier, answer.receipt["incomplete"]) == ("desktop", True)  # type: ignore[index]
    assert [one.content for one in versions] == [DESKTOP_SAYS]


def test_an_answer_may_be_stopped_after_it_was_handed_over(open_pair: Any) -> None:
    gate = Gate()
    pair = open_pair(vps=ScriptedBackend([Reply(text=VPS_SAYS, gate=gate)], name="small"))
    pair.wire.change = lost_after(3)
    run = pair.ask()
    assert gate.wait_blocked()
    run.cancel()
    result = run.wait(WAIT)
    assert (result.state, result.text) == (RunState.CANCELLED, "".join(TOKENS[:3]))
    pair.desktop_run(run)
    assert pair.said()[-1] == ("assistant", result.text)


def test_an_engine_that_dies_after_the_hand_over_goes_on_as_ever(open_pair: Any) -> None:
    text = "".join(TOKENS[:3]) + VPS_SAYS
    pair = open_pair(vps=ScriptedBackend([Reply(text=text, crash_after=(5,))], name="small"))
    pair.wire.change = lost_after(3)
    run = pair.ask()
    assert run.wait(WAIT).text == text
    assert kinds(run).count("seam") == 2


def test_a_question_deleted_before_the_hand_over_ends_the_answer(open_pair: Any) -> None:
    gate = Gate()
    pair = open_pair(ScriptedBackend([Reply(text=DESKTOP_SAYS, gate=gate)], name="large"))
    pair.wire.change = lost_after(2)
    gate.allow(2)
    run = pair.ask()
    pair.vps.conversations.clear("default")
    gate.open()
    result = run.wait(WAIT)
    assert result.state is RunState.FAILED
    assert pair.vps.conversations.messages("default") == []


def test_what_the_desktop_is_asked_is_json_that_it_understands(open_pair: Any) -> None:
    pair = open_pair()
    pair.ask("Was it 🦜?", stop=["x"], seed=3, max_tokens=5, message_id="m-1").wait(WAIT)
    ((_, _, body),) = pair.wire.requests
    request = ChatRequest.parse(json.loads(json.dumps(body)))
    assert (request.message, request.stop, request.seed, request.max_tokens) == ("Was it 🦜?", ["x"], 3, 5)


def _echo(prompt: Prompt, config: GenerationConfig) -> Reply:
    return Reply(text=prompt.messages[-1].content.rsplit("\n", 1)[-1])


def test_many_answers_handed_over_at_once_do_not_mix(tmp_path: Path) -> None:
    with two_tiers(tmp_path, ScriptedBackend(_echo), ScriptedBackend(otherwise=VPS_SAYS)) as pair:
        pair.wire.change = lost_after(4)
        asked = [f"one{n} two{n} three{n} four{n} five{n}" for n in range(8)]
        runs = [pair.ask(text) for text in asked]
        for text, run in zip(asked, runs, strict=True):
            assert run.wait(WAIT).text == "".join(words(text)[:4]) + VPS_SAYS
