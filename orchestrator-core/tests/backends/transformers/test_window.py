"""The context window, and what of it need not be computed again."""

from pathlib import Path

import pytest
from orchestrator_core.backend import FinishReason, Prompt
from orchestrator_core.backends.transformers import TransformersBackend
from orchestrator_core.errors import ContextLengthExceeded
from support.generations import said
from support.tiny_hf import CONTEXT_LENGTH
from support.tiny_hf_backend import ASK, GREEDY, backend_of

pytestmark = pytest.mark.slow


def test_a_full_window_ends_with_length(folder: Path) -> None:
    backend = backend_of(folder)
    backend.load()
    backend._loaded.weights.end_ids = frozenset()  # type: ignore[union-attr]
    generation = backend.generate(
        Prompt.raw("the " * 200), GREEDY.model_copy(update={"max_new_tokens": 1000})
    )
    said(generation)
    assert generation.finish_reason is FinishReason.LENGTH
    assert generation.usage.prompt_tokens + generation.usage.completion_tokens == CONTEXT_LENGTH


def test_the_window_is_the_smaller_of_model_and_settings(folder: Path, backend: TransformersBackend) -> None:
    assert backend.context_length == CONTEXT_LENGTH
    assert backend_of(folder, model={"context_length": 100}).context_length == 100
    assert backend_of(folder, model={"context_length": 1000}).context_length == CONTEXT_LENGTH


def test_a_prompt_that_cannot_fit_is_refused(backend: TransformersBackend) -> None:
    with pytest.raises(ContextLengthExceeded, match=f"holds {CONTEXT_LENGTH}"):
        backend.generate(Prompt.raw("the " * 300), GREEDY)


def test_a_prefix_that_was_computed_is_reused_and_changes_nothing(folder: Path) -> None:
    backend = backend_of(folder)
    first = backend.generate(ASK, GREEDY)
    text = said(first)
    assert first.usage.cached_tokens == 0
    longer = Prompt.raw(f"{ASK.text}{text}</s>[INST] and the dog [/INST]")
    warm = backend.generate(longer, GREEDY)
    warm_text = said(warm)
    assert warm.usage.cached_tokens >= first.usage.prompt_tokens
    assert warm_text == said(backend_of(folder).generate(longer, GREEDY))


def test_the_same_prompt_again_computes_its_last_token_only(folder: Path) -> None:
    backend = backend_of(folder)
    said(backend.generate(ASK, GREEDY))
    again = backend.generate(ASK, GREEDY)
    said(again)
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 1


def test_the_size_of_prefill_chunks_changes_nothing(folder: Path) -> None:
    prompt = Prompt.raw("the cat sat on the mat and the dog sat on the log " * 4)
    answers = {
        said(backend_of(folder, engine={"prefill_chunk": size}).generate(prompt, GREEDY))
        for size in (16, 17, 512)
    }
    assert len(answers) == 1


def test_a_continued_answer_goes_on_as_if_it_had_not_stopped(backend: TransformersBackend) -> None:
    generation = backend.generate(ASK, GREEDY)
    texts = [token.text for token in generation]
    made = generation._ids[backend.count_prompt(ASK) :]  # type: ignore[attr-defined]
    encode = backend._loaded.tokens.continued  # type: ignore[union-attr]
    # Only where the text shown is tokenised as it was made must the rest be the same to the letter.
    places = [n for n in range(1, len(texts)) if encode("".join(texts[:n])) == made[:n]]
    assert places
    for place in places[-3:]:
        shown = "".join(texts[:place])
        more = backend.generate(
            ASK, GREEDY.model_copy(update={"max_new_tokens": 24 - place}), continue_from=shown
        )
        assert shown + said(more) == "".join(texts)
        assert more.usage.prompt_tokens == backend.count_prompt(ASK)
