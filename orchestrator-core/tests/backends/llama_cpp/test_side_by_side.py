"""Answers beside each other: places, the queue, and what does not wait."""

from __future__ import annotations

import random

import pytest
from orchestrator_core.backend import FinishReason, Prompt
from orchestrator_core.errors import Overloaded
from support.generations import greedy
from support.llama_backend import ENDLESS, SENTENCE, Make, ask, at_once
from support.waiting import wait_until


def prompts() -> list[str]:
    """Some with a beginning in common, some without."""
    shared = "[INST] " + "Here is the session log of yesterday. " * 8
    return [f"{shared}Question {n}: what is {n * 7}? [/INST]" for n in range(4)] + [
        f"[INST] {chr(97 + n) * (5 + 23 * n)} [/INST]" for n in range(4)
    ]


@pytest.mark.slow
def test_answers_side_by_side_equal_answers_alone(make: Make) -> None:
    alone = make("random", max_sequences=1)
    expected = [ask(alone, text, max_new_tokens=40) for text in prompts()]
    assert len(set(expected)) == len(expected)
    together = make("random", max_sequences=8)
    for _ in range(3):
        found = at_once([lambda t=t: ask(together, t, max_new_tokens=40) for t in prompts()])
        assert found == expected


@pytest.mark.slow
def test_an_answer_does_not_depend_on_what_was_cached_before_it(make: Make) -> None:
    expected = {text: ask(make("random"), text, max_new_tokens=40) for text in prompts()[:3]}
    backend = make("random")
    dice = random.Random(1)
    for _ in range(25):
        text = dice.choice(list(expected))
        cut = dice.randint(1, len(text))
        ask(backend, text[:cut], max_new_tokens=dice.randint(1, 30))
        assert ask(backend, text, max_new_tokens=40) == expected[text]


def test_a_reader_who_does_not_read_holds_up_nobody(make: Make) -> None:
    backend = make()
    idle = backend.generate(Prompt.raw("hello"), greedy(grammar=ENDLESS, max_new_tokens=900))
    assert ask(backend, "hi") == SENTENCE
    wait_until(lambda: backend.stats().running == 0)
    assert sum(token.count for token in idle) == 900
    assert idle.finish_reason is FinishReason.LENGTH


def test_a_full_queue_is_said_at_once_and_passes(make: Make) -> None:
    backend = make(max_sequences=1, max_queue=1)
    first = backend.generate(Prompt.raw("a"), greedy(grammar=ENDLESS, max_new_tokens=900))
    second = backend.generate(Prompt.raw("b"), greedy(max_new_tokens=1))
    with pytest.raises(Overloaded, match="running"):
        backend.generate(Prompt.raw("c"), greedy())
    first.cancel()
    assert len(list(second)) == 1
    assert ask(backend, "c") == SENTENCE


def test_more_answers_than_places_all_get_their_turn(make: Make) -> None:
    backend = make(max_sequences=2)
    assert at_once([lambda n=n: ask(backend, f"question {n}") for n in range(12)]) == [SENTENCE] * 12


def test_counting_does_not_wait_for_running_answers(make: Make) -> None:
    backend = make(prefill_chunk=1024)
    generation = backend.generate(Prompt.raw("x" * 900), greedy(max_new_tokens=100, grammar=ENDLESS))
    assert [backend.count_tokens("y" * n) for n in range(1, 50)] == list(range(1, 50))
    assert generation.finish_reason is None
    generation.cancel()


def test_embedding_goes_on_beside_running_answers(make: Make) -> None:
    backend = make()
    generation = backend.generate(Prompt.raw("hi"), greedy(grammar=ENDLESS, max_new_tokens=900))
    next(iter(generation))
    assert len(backend.embed(["some text"])) == 1
    assert sum(token.count for token in generation) >= 800
