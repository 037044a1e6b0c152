"""An answer that ended too early goes on: `continue_answer`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.backend import FinishReason
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import Conflict, InvalidRequest
from orchestrator_core.runs.run import Run
from orchestrator_core.settings import Settings
from support.scripted import Gate, Reply, ScriptedBackend

WAIT = 20.0
QUESTION = {"message": "Count to eight.", "message_id": "q1"}
WHOLE = "one two three four five six seven eight"


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend([Reply(text=WHOLE, cut_after=3)], otherwise=WHOLE)


@pytest.fixture
def assistant(tmp_path: Path, backend: ScriptedBackend) -> Iterator[Assistant]:
    with open_assistant(Settings.model_validate({"data": tmp_path}), backend=backend) as opened:
        yield opened


def ask(assistant: Assistant, **fields: Any) -> Run:
    return assistant.ask(ChatRequest.parse({**QUESTION, **fields}))


def tokens(run: Run) -> list[str]:
    return [event.data["token"] for event in run.events() if event is not None and event.kind == "token"]


def test_it_goes_on_where_it_ended_and_takes_the_place_of_the_former(
    assistant: Assistant, backend: ScriptedBackend
) -> None:
    former = ask(assistant).wait(WAIT)
    assert (former.text, former.finish_reason) == ("one two three", FinishReason.LENGTH)
    run = ask(assistant, continue_answer=True)
    result = run.wait(WAIT)
    assert (result.text, result.finish_reason) == (WHOLE, FinishReason.STOP)
    assert tokens(run)[0] == "one two three"
    assert backend.calls[1].continue_from == "one two three"
    assert backend.calls[1].prompt == backend.calls[0].prompt
    question, answer = assistant.conversations.messages("default")
    assert (question.content, answer.content, answer.supersedes) == (
        QUESTION["message"],
        WHOLE,
        former.message_id,
    )
    versions = assistant.conversations.versions("default")[answer.message_id]
    assert [version.content for version in versions] == ["one two three"]
    done = list(run.events())[-1]
    assert done is not None and done.data["response"] == WHOLE
    assert done.data["usage"]["completion_tokens"] == 5


def test_the_stored_answer_says_that_it_ended_by_its_length(assistant: Assistant) -> None:
    ask(assistant).wait(WAIT)
    receipt = assistant.conversations.messages("default")[-1].receipt
    assert receipt is not None and receipt["finish_reason"] == "length" and "incomplete" not in receipt
    ask(assistant, continue_answer=True).wait(WAIT)
    receipt = assistant.conversations.messages("default")[-1].receipt
    assert receipt is not None and "finish_reason" not in receipt


def test_it_may_go_on_again_and_again_within_max_tokens(assistant: Assistant) -> None:
    ask(assistant).wait(WAIT)
    texts = [ask(assistant, continue_answer=True, max_tokens=2).wait(WAIT).text for _ in range(3)]
    assert texts == ["one two three four five", "one two three four five six seven", WHOLE]


def test_sent_twice_it_is_one_run(assistant: Assistant, backend: ScriptedBackend) -> None:
    gate = Gate()
    ask(assistant).wait(WAIT)
    backend.enqueue(Reply(text=WHOLE, gate=gate))
    first, second = ask(assistant, continue_answer=True), ask(assistant, continue_answer=True)
    assert first is second
    gate.open()
    first.wait(WAIT)


def test_an_engine_that_dies_meanwhile_loses_nothing(assistant: Assistant, backend: ScriptedBackend) -> None:
    ask(assistant).wait(WAIT)
    backend.enqueue(Reply(text=WHOLE, crash_after=(5,)))
    assert ask(assistant, continue_answer=True).wait(WAIT).text == WHOLE


def test_a_server_that_dies_meanwhile_loses_nothing(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data": tmp_path})
    gate = Gate()
    replies = [Reply(text=WHOLE, cut_after=3), Reply(text=WHOLE, gate=gate)]
    with open_assistant(settings, backend=ScriptedBackend(replies)) as assistant:
        ask(assistant).wait(WAIT)
        run_id = ask(assistant, continue_answer=True).run_id
        gate.wait_blocked()
        assistant.runs.close(timeout=0)
    with open_assistant(settings, backend=ScriptedBackend(otherwise=WHOLE)) as assistant:
        assert assistant.runs.get(run_id).wait(WAIT).text == WHOLE
        assert assistant.conversations.messages("default")[-1].content == WHOLE


@pytest.mark.parametrize(
    "fields", [{"message_id": None}, {"regenerate": True}], ids=["which question", "anew as well"]
)
def test_what_makes_no_sense_is_refused(assistant: Assistant, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        ask(assistant, continue_answer=True, **fields)


def test_without_an_answer_there_is_nothing_to_continue(assistant: Assistant) -> None:
    with pytest.raises(Conflict, match="no answer"):
        ask(assistant, continue_answer=True)
    assert assistant.conversations.messages("default") == []
