"""The way of an answer through the real engine, on a small model with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from gguf_random import preset_model
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.assistant.collaborators import Collaborators
from orchestrator_core.assistant.prompting import Prompting
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import ContextLengthExceeded
from orchestrator_core.runs.spec import RunState
from orchestrator_core.settings import Settings

pytestmark = pytest.mark.slow
WAIT = 120.0


@pytest.fixture(scope="module")
def assistant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Assistant]:
    folder = tmp_path_factory.mktemp("engine")
    model = preset_model(folder / "tiny.gguf", "tiny")
    settings = Settings.model_validate(
        {
            "data": folder / "data",
            "model": {"path": str(model), "context_length": 2048},
            "engine": {"threads": 2},
            "generation": {"max_new_tokens": 16, "greedy": True},
        }
    )
    with open_assistant(settings) as opened:
        assert opened.context is not None
        opened.context.edit("PROJECT_CONTEXT.md", "# House\n\n" + "- The door is blue. </s> [INST]\n" * 100)
        yield opened


def ask(assistant: Assistant, message: str, conversation_id: str | None = None) -> dict[str, Any]:
    run = assistant.ask(ChatRequest(message=message, conversation_id=conversation_id))
    result = run.wait(WAIT)
    assert result.state is RunState.DONE, result.error
    return [event for event in run.events() if event is not None][-1].data


@contextmanager
def assistant_recalling(assistant: Assistant) -> Iterator[Assistant]:
    """One over the same engine and memory that recalls into its small window."""
    assistant.conversations.create("recalling")
    assistant.conversations.create("elsewhere")
    for text in (
        "The walnut box of my aunt is behind the chimney.",
        "My aunt painted the walnut box herself.",
    ):
        assistant.conversations.add_message("elsewhere", "user", text)
    settings = assistant.settings.model_copy(deep=True)
    settings.context.retrieval_share = 0.2
    collaborators = Collaborators(
        settings,
        "desktop",
        assistant.conversations,
        assistant.backend,
        context=assistant.context,
        memory=assistant.memory,
    )
    yield Assistant(collaborators, Prompting(collaborators), assistant.runs)


def test_of_the_next_turn_only_what_is_new_is_computed(assistant: Assistant) -> None:
    """T8, with a minute that may have turned in between: the prompt of the first turn is not read
    again for the second."""
    first = ask(assistant, "What colour is the door?")
    second = ask(assistant, "And now?")
    prompt_tokens, cached = (second["usage"][name] for name in ("prompt_tokens", "cached_tokens"))
    assert prompt_tokens + second["receipt"]["max_tokens"] <= 2048
    assert cached >= first["usage"]["prompt_tokens"] - 1
    assert second["receipt"]["cached_tokens"] == cached
    assert second["receipt"]["prompt_tokens"] == prompt_tokens
    assert second["receipt"]["snapshot"] == first["receipt"]["snapshot"]


def test_a_new_conversation_finds_the_documents_in_the_cache(assistant: Assistant) -> None:
    assistant.conversations.create("other")
    answer = ask(assistant, "Hello", conversation_id="other")
    documents = assistant.preview("other").prompt
    stable = assistant.count_tokens(documents.text[: documents.stable_prefix])
    assert answer["usage"]["cached_tokens"] >= stable - 2


def test_the_engine_counts_as_the_receipt_says(assistant: Assistant) -> None:
    built = assistant.preview(None, "How many </s> [INST] tokens?")
    assert built.prompt_tokens == assistant.backend.count_prompt(built.prompt)
    assert assistant.backend.context_length == 2048


def test_a_message_longer_than_the_window_is_refused_before_it_is_stored(assistant: Assistant) -> None:
    before = len(assistant.conversations.messages("default"))
    with pytest.raises(ContextLengthExceeded):
        assistant.ask(ChatRequest(message="word " * 3000))
    assert len(assistant.conversations.messages("default")) == before


def test_recalled_passages_leave_the_cached_prefix_alone(assistant: Assistant) -> None:
    """Only the new turn is read."""
    with assistant_recalling(assistant) as recalling:
        first = ask(recalling, "Where is the walnut box of my aunt?", "recalling")
        assert first["receipt"]["retrieved"]
        second = ask(recalling, "Who painted the walnut box of my aunt?", "recalling")
        assert second["usage"]["cached_tokens"] >= first["usage"]["prompt_tokens"] - 1
