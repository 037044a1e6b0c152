"""Turns that no longer fit the window leave their own sentences in their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orchestrator_core.errors import ContextLengthExceeded
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.handoff.history_summary import CLOSING, LEAST_WINDOW, OPENING, room_of, summary
from orchestrator_core.prompt.builder import BuiltPrompt, PromptBuilder, PromptRequest
from shared_context.conversations.messages import Message
from support.chat_templates import CHATML, GEMMA, LLAMA_3, MISTRAL_LAST
from support.prompt_data import AT, conversation, documents
from support.scripted import ScriptedBackend

DOCUMENTS = documents(["# P\n\nOne house.\n", "# Q\n\nTo live in.\n", "", ""])
NOISE = "and so it went on for a while, with one thing and another being said about the garden. " * 4


def long_talk(turns: int) -> list[Message]:
    """A decision in every turn, in much other talk."""
    said = []
    for n in range(turns):
        said += [f"We decided to paint wall {n} in colour {n * 7}. {NOISE}", f"Answer {n}. {NOISE}"]
    return conversation(said)


def build(backend: ScriptedBackend, history: Sequence[Message], **given: object) -> BuiltPrompt:
    request = PromptRequest("And now?", AT, GenerationConfig(), history=history, documents=DOCUMENTS, **given)  # type: ignore[arg-type]
    return PromptBuilder(backend, zone=UTC).build(request)


def shown(built: BuiltPrompt) -> str:
    text = built.prompt.text
    start = text.find(OPENING)
    return "" if start < 0 else text[start : text.index(f"{CLOSING}\n\n", start) + 1]


def test_what_was_decided_in_turns_that_left_is_still_there() -> None:
    backend = ScriptedBackend(context_length=4096)
    built = build(backend, long_talk(60))
    used = built.receipt.history
    first_kept = used.dropped // 2
    text = shown(built)
    assert f"Decided: We decided to paint wall {first_kept - 1} in colour" in text
    assert NOISE not in text
    assert 0 < used.summary_tokens <= room_of(4096)
    assert used.summary_tokens == backend.count_tokens(text)
    assert built.prompt.messages[1].content.startswith(OPENING)
    assert "earlier messages of this conversation are left out." in built.prompt.text


def test_nothing_stands_for_turns_that_are_all_shown() -> None:
    built = build(ScriptedBackend(context_length=100_000), long_talk(20))
    assert OPENING not in built.prompt.text
    assert (built.receipt.history.dropped, built.receipt.history.summary_tokens) == (0, 0)


def test_a_small_window_has_better_uses() -> None:
    built = build(ScriptedBackend(context_length=LEAST_WINDOW - 1), long_talk(20))
    assert built.receipt.history.dropped > 0
    assert OPENING not in built.prompt.text


def test_talk_without_facts_leaves_nothing_behind() -> None:
    built = build(ScriptedBackend(context_length=2048), conversation([NOISE] * 60))
    assert built.receipt.history.dropped > 0
    # What the conversation began with is what it was about.
    assert shown(built).count("\n") <= 1


@pytest.mark.parametrize(
    "template",
    [None, CHATML, LLAMA_3, GEMMA, MISTRAL_LAST],
    ids=["none", "chatml", "llama 3", "gemma", "mistral"],
)
def test_the_prefix_stays_until_the_next_large_step(template: str | None) -> None:
    builder = PromptBuilder(ScriptedBackend(context_length=4096, template=template), zone=UTC)
    history = long_talk(50)
    texts, dropped = [], []
    for turns in range(20, 50):
        request = PromptRequest(
            f"question {turns}", AT, GenerationConfig(), history=history[: 2 * turns], documents=DOCUMENTS
        )
        built = builder.build(request)
        assert OPENING in built.prompt.text
        dropped.append(built.receipt.history.dropped)
        texts.append(built.prompt.text[: built.prompt.text.rindex("[Friday, 2026-10-02")])
    moved = [not later.startswith(earlier) for earlier, later in pairwise(texts)]
    assert moved == [later != earlier for earlier, later in pairwise(dropped)]
    assert 0 < sum(moved) <= 30 // 3


def test_what_is_read_ahead_has_the_summary_too() -> None:
    builder = PromptBuilder(ScriptedBackend(context_length=4096), zone=UTC)
    history = long_talk(60)
    ahead = builder.prompt_ahead(
        PromptRequest("", AT, GenerationConfig(), history=history, documents=DOCUMENTS)
    )
    assert ahead is not None
    asked = PromptRequest("And now?", AT, GenerationConfig(), history=history, documents=DOCUMENTS)
    assert OPENING in ahead.text
    assert builder.build(asked).prompt.text.startswith(ahead.text)


class Kept:
    """Counts how often a summary is asked for, and what for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def of(self, left: Sequence[Message], dropped: int, max_tokens: int, count: Callable[[str], int]) -> str:
        self.asked.append((dropped, max_tokens))
        return "[kept]"


def test_stored_summaries_are_used_where_there_are_some() -> None:
    kept = Kept()
    built = build(ScriptedBackend(context_length=4096), long_talk(60), summaries=kept)
    assert "[kept]" in built.prompt.text
    assert kept.asked[-1] == (built.receipt.history.dropped, room_of(4096))


def test_a_summary_that_is_longer_than_promised_makes_other_room() -> None:
    class Endless:
        def of(self, left: Sequence[Message], dropped: int, max_tokens: int, count: object) -> str:
            return "word " * 10 * max_tokens

    built = build(ScriptedBackend(context_length=2048), long_talk(30), summaries=Endless())
    assert built.prompt_tokens + built.receipt.max_tokens <= 2048


sentences = st.sampled_from(
    [
        "We decided to use SQLite. ",
        "TODO: write docs/handoff.md. ",
        "Ich weiß noch nicht, ob das geht. ",
        "What about version 1.2.3? ",
        "[INST] </s> ",
        "é🦜 我们决定用它。",
        "word " * 40,
        "\n\n- [ ] open task\n",
        "```sh\nmake check\n```\n",
    ]
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    window=st.integers(LEAST_WINDOW, 3000),
    history=st.lists(st.lists(sentences, max_size=12).map("".join), min_size=1, max_size=60),
    question=st.lists(sentences, min_size=1, max_size=12).map("".join).filter(str.strip),
    max_tokens=st.none() | st.integers(1, 2500),
    share=st.floats(0, 0.9),
    template=st.sampled_from([None, CHATML, LLAMA_3, GEMMA, MISTRAL_LAST]),
)
def test_with_a_summary_prompt_and_answer_never_exceed_the_window(
    window: int, history: list[str], question: str, max_tokens: int | None, share: float, template: str | None
) -> None:
    backend = ScriptedBackend(context_length=window, template=template)
    config = GenerationConfig() if max_tokens is None else GenerationConfig(max_new_tokens=max_tokens)
    request = PromptRequest(
        question, AT, config, max_tokens is not None, history=conversation(history), documents=DOCUMENTS
    )
    builder = PromptBuilder(backend, share=share, zone=UTC)
    try:
        built = builder.build(request)
    except ContextLengthExceeded:
        with pytest.raises(ContextLengthExceeded):
            builder.check(PromptRequest(question, AT, config, max_tokens is not None))
        return
    assert built.prompt_tokens + built.receipt.max_tokens <= window
    assert built.receipt.history.summary_tokens <= room_of(window)
    assert builder.build(request) == built


@settings(max_examples=80, deadline=None)
@given(texts=st.lists(st.lists(sentences, max_size=8).map("".join), max_size=20), room=st.integers(0, 300))
def test_a_summary_fits_its_room_and_is_word_for_word(texts: list[str], room: int) -> None:
    backend = ScriptedBackend()
    messages = conversation(texts)
    text = summary(messages, room, backend.count_tokens)
    assert not text or backend.count_tokens(text) <= room
    said = " ".join(" ".join(message.content.split()) for message in messages)
    for line in text.removeprefix(OPENING).removesuffix(CLOSING).strip().splitlines():
        quoted = re.sub(r"^(?:Asked|Decided|Done|To do|Open|Also said): (?:\(assistant\) )?", "", line)
        if quoted.startswith("Named: "):
            assert all(name in said for name in quoted.removeprefix("Named: ").split(", "))
        else:
            assert quoted in said
