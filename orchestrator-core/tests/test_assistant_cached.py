"""Of a long conversation's next prompt at least 95 % is cached: with the real engine, tokenizer and tokens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf_random import random_model
from gguf_vocabulary import SentencePieceVocabulary
from household import Household
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.runs.spec import RunState
from orchestrator_core.settings import Settings
from shared_context.storage import identity
from support.waiting import wait_until

pytestmark = pytest.mark.slow
WAIT = 240.0
ENOUGH = 0.95
TOMORROW = "2096-01-01T00:00:30.000000Z"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(
        tmp_path_factory.mktemp("model") / "tiny.gguf",
        layers=2,
        width=64,
        heads=4,
        kv_heads=2,
        ffn=128,
        vocab=0,
        context=8192,
        vocabulary=SentencePieceVocabulary(),
    )


@pytest.fixture
def assistant(model: Path, tmp_path: Path) -> Iterator[Assistant]:
    """Four documents, a memory to recall from, and a conversation of forty messages, read once."""
    texts = Household()
    (tmp_path / "context").mkdir()
    for name, text in texts.documents().items():
        (tmp_path / "context" / name).write_text(text, "utf-8")
    settings = Settings.model_validate(
        {
            "data": tmp_path,
            "model": {"path": str(model), "context_length": 8192},
            "engine": {"threads": 1, "prefill_chunk": 512},
            "generation": {"max_new_tokens": 40},
        }
    )
    with open_assistant(settings) as opened:
        store = opened.conversations
        store.create("elsewhere")
        store.add_message("elsewhere", "user", "The walnut box of my aunt is behind the chimney of the shed.")
        for _ in range(20):
            store.add_message("default", "user", texts.question())
            store.add_message("default", "assistant", texts.text(3))
        ask(opened, "Where did I put the walnut box of my aunt?")
        yield opened


def ask(assistant: Assistant, message: str) -> tuple[float, int]:
    """The part of the prompt that was cached, and how many passages were recalled."""
    run = assistant.ask(ChatRequest(message=message))
    result = run.wait(WAIT)
    assert result.state is RunState.DONE, result.error
    assert result.usage.prompt_tokens > 4096, "not a long conversation"
    return result.usage.cached_tokens / result.usage.prompt_tokens, len(run.spec.receipt["retrieved"])


def read_ahead(assistant: Assistant) -> None:
    backend = assistant.backend
    assert isinstance(backend, LlamaCppBackend)
    assistant.prompting.prewarm()
    wait_until(lambda: backend.engine_figures().get("ahead") == 0)


def test_of_the_second_turn(assistant: Assistant) -> None:
    cached, _ = ask(assistant, "And what was decided about the boiler?")
    assert cached >= ENOUGH


def test_also_when_something_is_recalled_for_it(assistant: Assistant) -> None:
    assistant.conversations.add_message(
        "elsewhere", "user", "The brass key of the attic is under the doormat."
    )
    cached, recalled = ask(assistant, "And where is the brass key of the attic?")
    assert recalled
    assert cached >= ENOUGH


def test_after_midnight(assistant: Assistant) -> None:
    clocks = [module for module in list(sys.modules.values()) if getattr(module, "now", None) is identity.now]
    assert clocks
    with pytest.MonkeyPatch.context() as patched:
        for module in clocks:
            patched.setattr(module, "now", lambda: TOMORROW)
        cached, _ = ask(assistant, "What is on the list for today?")
        assert "2096-01-01" in assistant.preview("default", "And?").prompt.messages[-1].content
    assert cached >= ENOUGH


def test_after_an_entry_in_the_log_once_it_was_read_ahead(assistant: Assistant) -> None:
    assert assistant.context is not None
    assistant.context.append_entry("The chimney sweep was here; everything is in order.")
    read_ahead(assistant)
    cached, _ = ask(assistant, "Is there anything new?")
    assert cached >= ENOUGH
