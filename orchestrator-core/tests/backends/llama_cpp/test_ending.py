"""What ends an answer, or keeps it from beginning."""

from __future__ import annotations

import gc

import pytest
from orchestrator_core.backend import FinishReason, Prompt
from orchestrator_core.backends import llama_cpp
from orchestrator_core.errors import ContextLengthExceeded, InvalidRequest
from support.generations import greedy
from support.llama_backend import CONTEXT, ENDLESS, LONG, SENTENCE, Make, ask, at_once
from support.waiting import wait_until


def test_cancelling_frees_the_cells_and_the_place(make: Make) -> None:
    backend = make(max_sequences=1)
    generation = backend.generate(Prompt.raw("hello " * 20), greedy(grammar=ENDLESS, max_new_tokens=800))
    next(iter(generation))
    assert backend.stats().running == 1
    assert backend.stats().kv_cells_used > 100
    generation.cancel()
    assert list(generation) == []
    assert generation.finish_reason is FinishReason.CANCELLED
    wait_until(lambda: backend.stats().running == 0)
    assert backend.stats().kv_cells_used == 0
    assert ask(backend, "next") == SENTENCE


def test_an_answer_nobody_holds_any_more_is_stopped(make: Make) -> None:
    backend = make()
    generation = backend.generate(Prompt.raw("hello"), greedy(grammar=ENDLESS, max_new_tokens=900))
    next(iter(generation))
    del generation
    gc.collect()
    wait_until(lambda: backend.stats().running == 0)


def test_the_window_ends_an_answer(make: Make) -> None:
    backend = make()
    generation = backend.generate(Prompt.raw("x" * 1000), greedy(grammar=ENDLESS, max_new_tokens=1000))
    assert "".join(token.text for token in generation) == "a" * 23
    assert generation.finish_reason is FinishReason.LENGTH


def test_what_can_never_fit_is_refused_at_once(make: Make) -> None:
    backend = make()
    ask(backend, "x" * (CONTEXT - 2), max_new_tokens=1)
    with pytest.raises(ContextLengthExceeded, match="1024"):
        ask(backend, "x" * (CONTEXT - 1))
    with pytest.raises(ContextLengthExceeded):
        ask(backend, "x" * 900, continued=SENTENCE)
    with pytest.raises(ContextLengthExceeded):
        ask(backend, "x" * 1_000_000)


def test_a_stop_sequence_ends_the_work_not_only_the_text(make: Make) -> None:
    backend = make()
    generation = backend.generate(Prompt.raw("hi"), greedy(stop=["🦜 wrote", "zzz"]))
    assert "".join(token.text for token in generation) == SENTENCE[: SENTENCE.index("🦜 wrote")]
    assert generation.finish_reason is FinishReason.STOP
    assert generation.usage.completion_tokens == len(SENTENCE[: SENTENCE.index(" it down")].encode())
    assert backend.stats().running == 0


def test_text_that_is_not_unicode_is_the_callers_mistake(make: Make) -> None:
    backend = make()
    with pytest.raises(InvalidRequest):
        ask(backend, "\ud800")
    with pytest.raises(InvalidRequest):
        backend.count_tokens("\udfff")
    assert ask(backend, "hi") == SENTENCE


def test_an_answer_without_a_limit_takes_what_the_window_leaves_and_keeps_little_of_it_free(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp, "ROUND_TOKENS", 50)
    backend = make("long", kv_tokens=CONTEXT)
    assert at_once([lambda: ask(backend, "hi", max_new_tokens=None)] * 3) == [LONG] * 3
    generation = backend.generate(Prompt.raw("hi" * 350), greedy(max_new_tokens=None))
    text = "".join(token.text for token in generation)
    assert LONG.startswith(text) and generation.finish_reason is FinishReason.LENGTH
    # What half characters at the end of a round cost is counted.
    assert CONTEXT <= generation.usage.prompt_tokens + generation.usage.completion_tokens < CONTEXT + 20


def test_an_answer_without_a_limit_is_cancelled_between_its_rounds(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp, "ROUND_TOKENS", 4)
    generation = make().generate(Prompt.raw("hi"), greedy(max_new_tokens=None))
    shown = 0
    for _ in generation:
        shown += 1
        if shown == 4:
            generation.cancel()
    assert shown == 4 and generation.finish_reason is FinishReason.CANCELLED
