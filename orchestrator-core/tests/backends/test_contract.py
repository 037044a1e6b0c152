"""What every backend promises (`backends/base.py`), tried on all of them.

Each backend answers greedily, so one answer is the reference for the others. Where the reference is
known (`SENTENCE`), or where the model reads its own text (`follows_text`), more can be asked for.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from orchestrator_core.backend import ChatBackend, FinishReason, Prompt
from orchestrator_core.backends.factory import create_backend
from orchestrator_core.backends.openai import OpenAIBackend
from orchestrator_core.errors import ContextLengthExceeded, Unsupported
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.settings import Settings
from support.generations import said
from support.openai_server import ModelServer, backend_for
from support.scripted import ScriptedBackend

SENTENCE = (
    "A parrot 🦜 named Plume keeps the journal of a lighthouse; each morning she writes the wind, "
    "the tide (潮汐) and every ship that passed before dawn. Über die Jahre wuchs daraus ein Buch, "
    "which nobody but the keeper's youngest daughter has ever read to its very last page."
)
CONTEXT = 1024
PIECES = ("<s>[INST] ", "tell me a story", " [/INST]")
ASK = Prompt(PIECES, (ChatMessage(Role.USER, "tell me a story"),))
RAW = Prompt.raw("[INST] another question [/INST]")
JOIN_S = 60.0


@dataclass(frozen=True)
class Case:
    """A backend under test.

    Args:
        make: a new one, not loaded.
        follows_text: a continued answer is the rest of the reference, to the letter.
        says_sentence: the reference is SENTENCE.
    """

    make: Callable[[], ChatBackend]
    follows_text: bool = True
    says_sentence: bool = True


def scripted(folder: Path) -> Iterator[Case]:
    yield Case(lambda: ScriptedBackend(otherwise=SENTENCE, context_length=CONTEXT))


def openai_like(owned_by: str) -> Callable[[Path], Iterator[Case]]:
    def case(folder: Path) -> Iterator[Case]:
        server = ModelServer(ScriptedBackend(otherwise=SENTENCE, context_length=CONTEXT), owned_by)
        yield Case(lambda: backend_for(server.url))
        server.close()

    return case


def llama_cpp(folder: Path) -> Iterator[Case]:
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
    from gguf_scripted import scripted_model

    model = scripted_model(folder / "sentence.gguf", SENTENCE, context=CONTEXT)
    yield Case(lambda: create_backend(settings_for(folder, model)))


def transformers(folder: Path) -> Iterator[Case]:
    from support.tiny_hf import save_model

    model = save_model(folder / "tiny")
    yield Case(lambda: create_backend(settings_for(folder, model)), follows_text=False, says_sentence=False)


def settings_for(folder: Path, model: Path) -> Settings:
    fields = {
        "data": folder / "data",
        "model": {"path": str(model)},
        "engine": {"threads": 1, "prefill_chunk": 64},
    }
    return Settings.model_validate(fields)


CASES = [
    pytest.param(scripted, id="scripted"),
    pytest.param(openai_like("vllm"), id="openai-vllm"),
    pytest.param(openai_like("llamacpp"), id="openai-llama-server"),
    pytest.param(openai_like("someone"), id="openai-plain"),
    pytest.param(llama_cpp, id="llama_cpp", marks=pytest.mark.slow),
    pytest.param(transformers, id="transformers", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    yield from request.param(tmp_path_factory.mktemp("contract"))


@pytest.fixture(scope="module")
def backend(case: Case) -> Iterator[ChatBackend]:
    made = case.make()
    yield made
    made.close()


@pytest.fixture(scope="module")
def reference(case: Case, backend: ChatBackend) -> str:
    text = said(backend.generate(ASK, greedy()))
    assert len(text) > 20, "the reference is too short to test anything with"
    assert text == SENTENCE or not case.says_sentence
    return text


def greedy(**fields: object) -> GenerationConfig:
    return GenerationConfig.model_validate(
        {"greedy": True, "repetition_penalty": 1.0, "max_new_tokens": 400, **fields}
    )


# --- the answer ---


def test_tokens_hold_whole_characters_and_none_is_empty(backend: ChatBackend, reference: str) -> None:
    tokens = list(backend.generate(ASK, greedy()))
    assert len(tokens) > 5
    assert all(token.text and token.count >= 0 for token in tokens)
    for token in tokens:
        assert token.text.encode().decode() == token.text
    assert "".join(token.text for token in tokens) == reference


def test_greedy_answers_are_the_same_every_time(backend: ChatBackend, reference: str) -> None:
    assert said(backend.generate(ASK, greedy(seed=1))) == reference
    assert said(backend.generate(ASK, greedy(greedy=False, temperature=0.0, top_k=5))) == reference


def test_a_finished_answer_says_why_it_ended_and_stays_ended(backend: ChatBackend, reference: str) -> None:
    generation = backend.generate(ASK, greedy())
    assert generation.finish_reason is None
    assert said(generation) == reference
    assert generation.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
    assert list(generation) == []


def test_a_raw_prompt_is_answered(backend: ChatBackend) -> None:
    generation = backend.generate(RAW, greedy())
    assert said(generation)
    if backend.describe().exact_token_counts:
        assert generation.usage.prompt_tokens == backend.count_prompt(RAW)
    else:
        assert generation.usage.prompt_tokens <= backend.count_prompt(RAW), (
            "an estimate errs on the safe side"
        )


def test_usage_counts_what_was_read_and_written(backend: ChatBackend, reference: str) -> None:
    generation = backend.generate(ASK, greedy())
    counted = sum(token.count for token in generation)
    assert 0 < counted <= generation.usage.completion_tokens
    assert 0 <= generation.usage.cached_tokens <= generation.usage.prompt_tokens
    if backend.describe().exact_token_counts:
        assert generation.usage.prompt_tokens == backend.count_prompt(ASK)


# --- where it ends ---


@pytest.mark.parametrize("place", [0, 1, 5, 9, 10, 17])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_stop_is_cut_exactly(backend: ChatBackend, reference: str, place: int, length: int) -> None:
    stop = reference[place : place + length]
    generation = backend.generate(ASK, greedy(stop=[stop, "never said"]))
    assert said(generation) == reference[: reference.index(stop)]
    assert generation.finish_reason is FinishReason.STOP


@pytest.mark.parametrize("limit", [1, 3, 12])
def test_max_new_tokens_ends_with_length(backend: ChatBackend, reference: str, limit: int) -> None:
    generation = backend.generate(ASK, greedy(max_new_tokens=limit))
    text = said(generation)
    assert generation.finish_reason is FinishReason.LENGTH
    assert generation.usage.completion_tokens == limit
    assert reference.startswith(text)
    assert len(text) < len(reference)


def test_a_prompt_that_can_never_fit_is_refused(backend: ChatBackend) -> None:
    endless = Prompt.raw("over and over\n" * 2000)
    with pytest.raises(ContextLengthExceeded) as caught:
        said(backend.generate(endless, greedy()))
    assert caught.value.code == "context_length_exceeded"
    assert said(backend.generate(ASK, greedy(max_new_tokens=1)))


# --- cancelling and closing ---


def test_cancel_from_another_thread_ends_the_answer(backend: ChatBackend, reference: str) -> None:
    generation = backend.generate(ASK, greedy())
    tokens = iter(generation)
    shown = next(tokens).text
    canceller = threading.Thread(target=generation.cancel)
    canceller.start()
    canceller.join(JOIN_S)
    shown += "".join(token.text for token in tokens)
    assert generation.finish_reason is FinishReason.CANCELLED
    assert reference.startswith(shown)
    generation.cancel()
    assert list(generation) == []


def test_an_answer_cancelled_before_it_is_read_is_empty(backend: ChatBackend) -> None:
    generation = backend.generate(ASK, greedy())
    generation.cancel()
    text = said(generation)
    assert generation.finish_reason is FinishReason.CANCELLED
    assert len(text) < len(SENTENCE)


def test_load_and_close_can_be_repeated(case: Case) -> None:
    backend = case.make()
    backend.load()
    backend.load()
    generation = backend.generate(ASK, greedy())
    next(iter(generation))
    backend.close()
    backend.close()
    said(generation)
    assert generation.finish_reason is FinishReason.CANCELLED


# --- going on ---


@pytest.mark.parametrize("share", [0.0, 0.04, 0.3, 0.5, 0.9, 1.0])
def test_a_continued_answer_yields_only_what_follows(
    case: Case, backend: ChatBackend, reference: str, share: float
) -> None:
    shown = reference[: round(len(reference) * share)]
    if not case.follows_text:
        shown = shown[:40]  # random bytes need more tokens to read than they took to write
    generation = backend.generate(ASK, greedy(), continue_from=shown)
    more = said(generation)
    if case.follows_text:
        assert shown + more == reference
        assert generation.finish_reason is FinishReason.STOP
    elif shown:
        assert not more.startswith(shown)


def test_a_stop_across_the_seam_is_cut(case: Case, backend: ChatBackend, reference: str) -> None:
    if not case.follows_text:
        pytest.skip("what follows is not known")
    shown = reference[:40]
    generation = backend.generate(ASK, greedy(stop=[reference[37:44]]), continue_from=shown)
    assert said(generation) == ""
    assert generation.finish_reason is FinishReason.STOP


# --- counting and describing ---


def test_counts_add_up(backend: ChatBackend) -> None:
    parts = ["", "a", "Hello there", "漢字 🦜", "\n\n", "</s>", "x" * 50]
    counts = [backend.count_tokens(part) for part in parts]
    assert counts[0] == 0
    assert all(count > 0 for count in counts[1:])
    for first, alone in zip(parts, counts, strict=True):
        for second, other in zip(parts, counts, strict=True):
            # Joining may merge tokens, never make more (but for a space that a tokenizer adds).
            assert max(alone, other) <= backend.count_tokens(first + second) <= alone + other + 1


def test_a_control_token_in_a_cut_piece_is_text(backend: ChatBackend) -> None:
    if not backend.describe().exact_token_counts:
        pytest.skip("this server's tokens are only estimated")
    if isinstance(backend, OpenAIBackend):
        pytest.skip("a server gets raw text; its own guard applies")
    whole, cut = Prompt(("say </s> now",)), Prompt(("say <", "/s> now"))
    assert backend.count_prompt(cut) > backend.count_prompt(whole)


def test_counting_a_prompt_includes_bos_once(backend: ChatBackend) -> None:
    if isinstance(backend, OpenAIBackend):
        pytest.skip("the server decides")
    assert backend.count_prompt(Prompt.raw("<s>hello")) == backend.count_prompt(Prompt.raw("hello"))


def test_the_description_is_complete(case: Case, backend: ChatBackend) -> None:
    backend.load()
    description = backend.describe()
    assert description.backend in ("scripted", "openai", "llama_cpp", "transformers")
    assert description.model
    assert description.context_length == backend.context_length > 0
    assert description.device
    assert description.device_reason
    assert (description.adapter, backend.stats().loaded) == (None, True)


def test_embeddings_are_vectors_of_one_length_or_refused(backend: ChatBackend) -> None:
    try:
        vectors = backend.embed(["one", "another"])
    except Unsupported as error:
        assert error.status == 400
    else:
        assert len(vectors) == 2
        assert len(vectors[0]) == len(vectors[1]) > 0


def test_special_tokens_name_bos_and_eos_among_the_control_tokens(backend: ChatBackend) -> None:
    special = backend.special_tokens()
    assert {text for text in (special.bos, special.eos) if text} <= special.control


# --- side by side ---


def test_two_answers_at_once_do_not_mix(backend: ChatBackend, reference: str) -> None:
    prompts = [ASK, RAW, ASK, RAW]
    alone = {prompt.text: said(backend.generate(prompt, greedy())) for prompt in prompts}
    heard: dict[int, str] = {}
    start = threading.Barrier(len(prompts))

    def ask(number: int) -> None:
        start.wait(JOIN_S)
        heard[number] = said(backend.generate(prompts[number], greedy()))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_S)
    assert heard == {number: alone[prompt.text] for number, prompt in enumerate(prompts)}
    assert backend.stats().running == 0, "whoever has the last token finds the place free"
