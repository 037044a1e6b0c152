"""Counts, windows and stops."""

import pytest
from orchestrator_core.backend import FinishReason, Prompt
from orchestrator_core.errors import ContextLengthExceeded, Overloaded
from support.generations import said
from support.scripted import ScriptedBackend
from support.scripted.script import Reply, words
from support.scripted_answers import ASK, config


def test_tokens_are_counted_by_the_fixed_rule() -> None:
    assert words("[INST] Hello wonderful_world 12345 </s>\n") == (
        ["[INST]", " Hello", " wonderfu", "l", "_", "world", " 123", "45", " ", "</s>", "\n"]
    )
    backend = ScriptedBackend()
    assert backend.count_tokens("Hello world") == 2
    assert backend.count_prompt(Prompt.raw("Hello world")) == 3
    assert backend.count_prompt(Prompt.raw("<s>Hello world")) == 3


def test_a_control_token_that_a_person_wrote_is_cut_and_counts_as_text() -> None:
    backend = ScriptedBackend()
    assert backend.count_prompt(Prompt(("a </", "s> b"))) > backend.count_prompt(Prompt(("a </s> b",)))


def test_usage_says_what_was_asked_and_made() -> None:
    backend = ScriptedBackend([Reply(text="one two three", cached_tokens=2)])
    generation = backend.generate(ASK, config())
    said(generation)
    assert generation.usage.prompt_tokens == backend.count_prompt(ASK)
    assert (generation.usage.completion_tokens, generation.usage.cached_tokens) == (3, 2)
    assert generation.finish_reason is FinishReason.STOP


def test_max_new_tokens_ends_with_length() -> None:
    generation = ScriptedBackend(["one two three"]).generate(ASK, config(max_new_tokens=2))
    assert said(generation) == "one two"
    assert generation.finish_reason is FinishReason.LENGTH
    assert generation.usage.completion_tokens == 2


def test_a_full_window_ends_with_length() -> None:
    backend = ScriptedBackend(["x " * 100], context_length=64)
    generation = backend.generate(ASK, config())
    said(generation)
    assert generation.finish_reason is FinishReason.LENGTH
    assert generation.usage.prompt_tokens + generation.usage.completion_tokens == 64


def test_a_prompt_that_cannot_fit_is_refused() -> None:
    backend = ScriptedBackend(["x"], context_length=64)
    assert backend.generate(Prompt.raw("a\n" * 31), config())  # 62, BOS and one to answer
    with pytest.raises(ContextLengthExceeded, match="64 tokens; the window of 'scripted' holds 64"):
        backend.generate(Prompt.raw("a\n" * 31 + "b"), config())


def test_a_stop_across_tokens_is_cut_exactly() -> None:
    generation = ScriptedBackend([Reply(text="one <END> two", split="characters")]).generate(
        ASK, config(stop=["<END>", " two"])
    )
    assert said(generation) == "one "
    assert generation.finish_reason is FinishReason.STOP


def test_cut_off_ends_with_length() -> None:
    generation = ScriptedBackend([Reply(text="one two three", cut_after=1)]).generate(ASK, config())
    assert said(generation) == "one"
    assert generation.finish_reason is FinishReason.LENGTH


def test_more_answers_than_allowed_are_refused_until_one_ends() -> None:
    backend = ScriptedBackend(["one", "two"], max_running=1)
    first = backend.generate(ASK, config())
    with pytest.raises(Overloaded):
        backend.generate(ASK, config())
    said(first)
    assert said(backend.generate(ASK, config())) == "two"
