"""A long conversation through the assistant: summaries are made once, stored, and forgotten with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.assistant import summarized_turns as module
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.handoff.history_summary import OPENING, summary
from shared_context.conversations.messages import Message
from shared_context.errors import StoreFull
from support.desktop import settings_for
from support.scripted import ScriptedBackend, echo

NOISE = "and so it went on for a while, with one thing and another being said about the garden. " * 5


def opened(folder: Path, window: int = 2048) -> Assistant:
    return open_assistant(settings_for(folder), backend=ScriptedBackend(echo, context_length=window))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many messages each summary was made from."""
    calls: list[int] = []

    def counted(left: Sequence[Message], *rest: object) -> str:
        calls.append(len(left))
        return summary(left, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "summary", counted)
    yield calls


def talk(assistant: Assistant, turns: int) -> None:
    for n in range(turns):
        assistant.conversations.add_message("default", "user", f"We decided to paint wall {n}. {NOISE}")
        assistant.conversations.add_message("default", "assistant", f"Answer {n}. {NOISE}")


def stored(assistant: Assistant) -> list[str]:
    with assistant.conversations.database.read() as connection:
        return [row["text"] for row in connection.execute("SELECT text FROM summaries")]


def test_what_was_decided_long_ago_is_in_the_prompt_and_the_receipt_says_so(tmp_path: Path) -> None:
    with opened(tmp_path) as assistant:
        talk(assistant, 30)
        run = assistant.ask(ChatRequest(message="Which walls?"))
        result = run.wait(10)
        history = run.spec.receipt["history"]
        assert history["dropped"] > 0
        assert history["summary_tokens"] > 0
        assert OPENING in run.spec.prompt.text
        assert f"We decided to paint wall {history['dropped'] // 2 - 1}." in run.spec.prompt.text
        assert result.text
        kept = assistant.conversations.messages("default")
        assert len(kept) == 62, "the full text stays"


def test_the_preview_is_what_is_sent(tmp_path: Path) -> None:
    with opened(tmp_path) as assistant:
        talk(assistant, 30)
        preview = assistant.preview("default", "Which walls?").prompt.messages
        sent = assistant.ask(ChatRequest(message="Which walls?")).spec.prompt.messages
        assert OPENING in preview[1].content
        assert preview[:-1] == sent[:-1], "but for the minute of the question"


def test_a_summary_is_made_once_and_survives_a_restart(tmp_path: Path, made: list[int]) -> None:
    with opened(tmp_path) as assistant:
        talk(assistant, 30)
        first = assistant.preview("default", "x").prompt.messages[:-1]
        times = len(made)
        assert times >= 1
        assert assistant.preview("default", "x").prompt.messages[:-1] == first
        assert len(made) == times
        assert stored(assistant)
    with opened(tmp_path) as assistant:
        assert assistant.preview("default", "x").prompt.messages[:-1] == first
        assert len(made) == times


def test_more_is_read_than_the_prompt_had_loaded(tmp_path: Path, made: list[int]) -> None:
    with opened(tmp_path, window=1024) as assistant:
        talk(assistant, 200)
        text = assistant.preview("default", "x").prompt.text
        assert OPENING in text
        assert max(made) > 1024 // 8 + 2


def test_nothing_of_a_deleted_conversation_stays(tmp_path: Path) -> None:
    with opened(tmp_path) as assistant:
        talk(assistant, 30)
        assistant.preview("default", "x")
        assert stored(assistant)
        assistant.conversations.clear("default")
        assert stored(assistant) == []


def test_a_full_disk_costs_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreFull("The disk is full.")

    monkeypatch.setattr(module.SummaryStore, "put", full)
    with opened(tmp_path) as assistant:
        talk(assistant, 30)
        assert OPENING in assistant.preview("default", "x").prompt.text
