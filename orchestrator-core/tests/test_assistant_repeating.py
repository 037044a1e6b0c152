"""Sending a message again, because nobody knows whether it arrived."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import Conflict
from orchestrator_core.runs.spec import RunState
from orchestrator_core.settings import Settings
from support.scripted import Gate, Reply, ScriptedBackend

WAIT = 20.0
REQUEST = ChatRequest(message="Hello", message_id="m-1")


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend([Reply(refuse="overloaded"), "One."], otherwise="Two.")


@pytest.fixture
def assistant(tmp_path: Path, backend: ScriptedBackend) -> Iterator[Assistant]:
    with open_assistant(Settings(data=tmp_path / "data"), backend=backend) as assistant:
        yield assistant


def said(assistant: Assistant) -> list[str]:
    return [message.content for message in assistant.conversations.messages("default")]


def test_a_message_whose_run_failed_is_tried_again_and_stored_once(assistant: Assistant) -> None:
    assert assistant.ask(REQUEST).wait(WAIT).state is RunState.FAILED
    assert assistant.ask(REQUEST).wait(WAIT).text == "One."
    assert said(assistant) == ["Hello", "One."]


def test_an_answered_message_gets_its_answer_again(assistant: Assistant) -> None:
    assistant.ask(REQUEST).wait(WAIT)
    first = assistant.ask(REQUEST)
    first.wait(WAIT)
    again = assistant.ask(REQUEST)
    assert again.run_id == first.run_id
    assert again.wait(WAIT).text == "One."
    assert said(assistant) == ["Hello", "One."]


def test_without_an_id_the_same_words_are_a_new_message(assistant: Assistant) -> None:
    for _ in range(3):
        assistant.ask(ChatRequest(message="Hello")).wait(WAIT)
    assert said(assistant).count("Hello") == 3


def test_an_id_belongs_to_one_message(assistant: Assistant) -> None:
    assistant.ask(REQUEST).wait(WAIT)
    with pytest.raises(Conflict, match="'m-1' belongs to another message"):
        assistant.ask(ChatRequest(message="Something else", message_id="m-1"))


def test_a_deleted_message_does_not_come_back(assistant: Assistant) -> None:
    assistant.ask(REQUEST).wait(WAIT)
    assistant.conversations.clear("default")
    with pytest.raises(Conflict, match="was deleted"):
        assistant.ask(REQUEST)
    assert said(assistant) == []


class TestCopiesThatArriveTogether:
    @pytest.fixture
    def gate(self) -> Iterator[Gate]:
        gate = Gate()
        yield gate
        gate.open()

    @pytest.fixture
    def backend(self, gate: Gate) -> ScriptedBackend:
        return ScriptedBackend([Reply(text="Only once.", gate=gate)])

    def test_they_find_the_same_run(self, assistant: Assistant, gate: Gate) -> None:
        ready = threading.Barrier(4)
        found: list[str] = []

        def ask() -> None:
            ready.wait(WAIT)
            found.append(assistant.ask(REQUEST).run_id)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        gate.open()
        assert len(found) == 4
        assert len(set(found)) == 1
        assistant.runs.get(found[0]).wait(WAIT)
        assert said(assistant) == ["Hello", "Only once."]
