"""The llama.cpp backend with real engine processes and small generated models.

What every backend promises is in `test_contract.py`; this is what only an engine can get wrong.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gguf_random import lora_adapter, random_model
from gguf_scripted import scripted_model
from orchestrator_core.backends.base import FinishReason, Prompt
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.errors import (
    ConfigurationError,
    ContextLengthExceeded,
    EngineLost,
    InvalidRequest,
    ModelNotFound,
    ModelUnusable,
    Overloaded,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import Settings

SENTENCE = (
    "The journal of the lighthouse 🗼 says: at dawn the tide (潮汐) turned, Plume 🦜 wrote it down, and "
    "nobody 👨‍👩‍👧 on the island — not even the keeper — ever read the very last page of it."
)
LONG = " ".join(f"{number * 7919 % 10007}潮{number}😀" for number in range(85))
"""About 1,200 bytes, each of them a token."""

CONTEXT = 1024
WAIT_S = 60.0
ENDLESS = 'root ::= "a" root'
"""A grammar that lets no answer end before its limit."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    shape = {"layers": 2, "width": 128, "heads": 4, "kv_heads": 2, "ffn": 256, "vocab": 512}
    return {
        "scripted": scripted_model(folder / "scripted.gguf", SENTENCE, context=CONTEXT),
        "long": scripted_model(folder / "long.gguf", LONG, context=4096),
        "random": random_model(folder / "random.gguf", **shape, context=CONTEXT, quant="F32", seed=3),
        "adapter": lora_adapter(folder / "adapter.gguf", layers=2, width=128, heads=4),
    }


Make = Callable[..., LlamaCppBackend]


@pytest.fixture
def make(models: dict[str, Path], tmp_path: Path) -> Iterator[Make]:
    made: list[LlamaCppBackend] = []

    def new(model: str | Path = "scripted", **fields: object) -> LlamaCppBackend:
        path = models[model] if isinstance(model, str) else model
        settings = Settings.model_validate(
            {
                "data": tmp_path / "data",
                "model": {"path": str(path), "context_length": 4096 if model == "long" else CONTEXT},
                "engine": {"threads": 1, "prefill_chunk": 64, **fields},
            }
        )
        made.append(LlamaCppBackend(settings))
        return made[-1]

    yield new
    for backend in made:
        backend.close()


def greedy(**fields: object) -> GenerationConfig:
    return GenerationConfig.model_validate({"greedy": True, "repetition_penalty": 1.0, **fields})


def ask(backend: LlamaCppBackend, text: str, continued: str = "", **fields: object) -> str:
    generation = backend.generate(Prompt.raw(text), greedy(**fields), continue_from=continued)
    return "".join(token.text for token in generation)


def cached(backend: LlamaCppBackend, text: str) -> int:
    generation = backend.generate(Prompt.raw(text), greedy(max_new_tokens=1))
    list(generation)
    return generation.usage.cached_tokens


def at_once(jobs: list[Callable[[], str]]) -> list[str]:
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result(WAIT_S) for future in [pool.submit(job) for job in jobs]]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        threading.Event().wait(0.01)


def prompts() -> list[str]:
    """Some with a beginning in common, some without."""
    shared = "[INST] " + "Here is the session log of yesterday. " * 8
    return [f"{shared}Question {n}: what is {n * 7}? [/INST]" for n in range(4)] + [
        f"[INST] {chr(97 + n) * (5 + 23 * n)} [/INST]" for n in range(4)
    ]


# --- batching and sharing ---


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


def test_sequences_at_different_places_of_the_same_text_do_not_mix(make: Make) -> None:
    """The scripted model looks at exact distances back, so a wrong position or a foreign cell shows at once."""
    backend = make()
    backend.load()
    starts = [SENTENCE[:cut] for cut in range(0, 64, 8)]
    found = at_once([lambda s=s: ask(backend, f"[INST] {s} [/INST]", s) for s in starts])
    assert found == [SENTENCE[len(start) :] for start in starts]


def test_requests_that_arrive_together_compute_their_common_beginning_once(make: Make) -> None:
    backend = make()
    backend.load()
    shared = "x" * 600
    blocker = backend.generate(Prompt.raw("hi"), greedy(grammar=ENDLESS))
    found = at_once([lambda n=n: ask(backend, f"{shared} question {n}:") for n in range(6)])
    blocker.cancel()
    assert found == [SENTENCE] * 6
    computed = backend.engine_figures()["prefilled"]
    assert computed < 700, f"{computed} tokens were computed for 600 shared ones"


def test_cached_tokens_are_counted_truly(make: Make) -> None:
    backend = make()
    first, second = "a" * 200, "a" * 200 + "b" * 50
    assert cached(backend, first) == 0
    assert cached(backend, first) == 200, "all but the last token, which has to be computed"
    assert cached(backend, second) == 201
    assert cached(backend, "c" * 100) == 1, "BOS"


def test_the_next_turn_finds_the_whole_conversation(make: Make) -> None:
    backend = make()
    asked = "[INST] tell me [/INST]"
    answer = ask(backend, asked)
    turn = backend.generate(Prompt.raw(f"{asked}{answer}</s>[INST] again [/INST]"), greedy())
    assert "".join(token.text for token in turn) == SENTENCE
    assert turn.usage.cached_tokens >= backend.count_prompt(Prompt.raw(asked + answer)) - 1


def test_a_prewarmed_prefix_is_there_when_it_is_asked_for(make: Make) -> None:
    backend = make()
    document = "The state of the project. " * 20
    prompt = Prompt((document, "and a question"), stable_prefix=len(document))
    backend.prewarm(prompt)
    tokens = backend.count_prompt(Prompt.raw(document))
    wait_until(lambda: backend.engine_figures().get("used", 0) >= tokens)
    assert cached(backend, document + "What next?") == tokens


# --- ends ---


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


def test_a_reader_who_does_not_read_holds_up_nobody(make: Make) -> None:
    backend = make()
    idle = backend.generate(Prompt.raw("hello"), greedy(grammar=ENDLESS, max_new_tokens=900))
    assert ask(backend, "hi") == SENTENCE
    wait_until(lambda: backend.stats().running == 0)
    assert sum(token.count for token in idle) == 900
    assert idle.finish_reason is FinishReason.LENGTH


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


def test_a_stop_sequence_ends_the_work_not_only_the_text(make: Make) -> None:
    backend = make()
    generation = backend.generate(Prompt.raw("hi"), greedy(stop=["🦜 wrote", "zzz"]))
    assert "".join(token.text for token in generation) == SENTENCE[: SENTENCE.index("🦜 wrote")]
    assert generation.finish_reason is FinishReason.STOP
    assert generation.usage.completion_tokens == len(SENTENCE[: SENTENCE.index(" it down")].encode())
    assert backend.stats().running == 0


# --- sampling ---


def test_a_seed_repeats_an_answer_and_none_varies_it(make: Make) -> None:
    backend = make("random")
    hot = {"greedy": False, "temperature": 1.5, "max_new_tokens": 30}
    assert ask(backend, "hi", seed=7, **hot) == ask(backend, "hi", seed=7, **hot)
    assert len({ask(backend, "hi", **hot) for _ in range(5)}) > 1
    assert ask(backend, "hi", seed=2**32 - 1, **hot) == ask(backend, "hi", seed=2**32 - 1, **hot)


def test_each_sampler_has_its_effect(make: Make) -> None:
    backend = make("random")
    best = ask(backend, "hi", max_new_tokens=30)
    hot: dict[str, object] = {
        "greedy": False,
        "temperature": 5.0,
        "max_new_tokens": 30,
        "seed": 1,
        "top_k": 0,
        "top_p": 1.0,
    }
    assert ask(backend, "hi", **hot) != best
    for narrowed in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}, {"temperature": 0.0}):
        assert ask(backend, "hi", **{**hot, **narrowed}) == best, narrowed
    assert ask(backend, "hi", max_new_tokens=30, repetition_penalty=5.0) != best


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "kind": {"enum": ["log", "briefing"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 999},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    },
    "required": ["name", "kind", "count", "tags"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("seed", range(6))
def test_a_schema_holds_even_a_model_of_random_weights(make: Make, seed: int) -> None:
    backend = make("random")
    text = ask(
        backend, "hi", greedy=False, temperature=1.0, seed=seed, json_schema=SCHEMA, max_new_tokens=400
    )
    found = json.loads(text)
    assert set(found) == set(SCHEMA["properties"])
    assert found["kind"] in ("log", "briefing")
    assert 0 <= found["count"] <= 999
    assert all(isinstance(tag, bool) for tag in found["tags"])


def test_a_grammar_is_followed_from_the_middle_of_an_answer(make: Make) -> None:
    backend = make("random")
    grammar = 'root ::= "(" [0-9] [0-9] [0-9] ")"'
    whole = ask(backend, "hi", grammar=grammar)
    assert len(whole) == 5
    for cut in range(1, 5):
        rest = ask(backend, "hi", continued=whole[:cut], grammar=grammar)
        assert len(whole[:cut] + rest) == 5
        assert rest.endswith(")")
    with pytest.raises(InvalidRequest, match="does not follow"):
        ask(backend, "hi", continued="[1", grammar=grammar)


@pytest.mark.parametrize(
    "constraint",
    [
        {"grammar": ""},
        {"grammar": 'start ::= "a"'},
        {"grammar": 'root ::= root "a"'},
        {"grammar": 'root ::= "a'},
        {"grammar": "root ::= missing"},
        {"json_schema": {"type": "nonsense"}},
        {"json_schema": {"$ref": "#/nowhere"}},
        {"json_schema": {"$ref": "https://example.org/schema.json"}},
        {"json_schema": {"properties": 3}},
        {"json_schema": {"enum": []}},
        {"json_schema": {"type": "string", "pattern": "(a|b"}},
        {"json_schema": {"type": "string", "maxLength": 10**9}},
        {"grammar": "root ::= " + "(" * 50_000 + '"a"' + ")" * 50_000},
    ],
)
def test_a_constraint_that_cannot_be_used_is_the_callers_mistake(
    make: Make, constraint: dict[str, object]
) -> None:
    backend = make("random")
    pid_before = (backend.load(), backend.pid)[1]
    with pytest.raises(InvalidRequest):
        ask(backend, "hi", **constraint)
    assert backend.pid == pid_before


# --- counting, embedding, describing ---


def test_counting_does_not_wait_for_running_answers(make: Make) -> None:
    backend = make(prefill_chunk=1024)
    generation = backend.generate(Prompt.raw("x" * 900), greedy(max_new_tokens=100, grammar=ENDLESS))
    assert [backend.count_tokens("y" * n) for n in range(1, 50)] == list(range(1, 50))
    assert generation.finish_reason is None
    generation.cancel()


def test_text_that_is_not_unicode_is_the_callers_mistake(make: Make) -> None:
    backend = make()
    with pytest.raises(InvalidRequest):
        ask(backend, "\ud800")
    with pytest.raises(InvalidRequest):
        backend.count_tokens("\udfff")
    assert ask(backend, "hi") == SENTENCE


def test_embeddings_are_of_length_one_and_equal_for_equal_texts(make: Make) -> None:
    backend = make("random")
    long = "a longer text that takes several chunks. " * 15
    one, two, three = backend.embed(["tide", long, "tide"])
    assert one == three != two
    assert sum(value * value for value in two) == pytest.approx(1.0)
    assert backend.embed([]) == []
    with pytest.raises(InvalidRequest, match="empty"):
        backend.embed([""])
    with pytest.raises(ContextLengthExceeded):
        backend.embed(["x " * 5000])


def test_embedding_goes_on_beside_running_answers(make: Make) -> None:
    backend = make()
    generation = backend.generate(Prompt.raw("hi"), greedy(grammar=ENDLESS, max_new_tokens=900))
    next(iter(generation))
    assert len(backend.embed(["some text"])) == 1
    assert sum(token.count for token in generation) >= 800


def test_the_description_names_model_device_and_reason(make: Make) -> None:
    description = make("random").describe()
    assert (description.backend, description.model) == ("llama_cpp", "random.gguf")
    assert (description.context_length, description.quantization) == (CONTEXT, "all F32")
    assert description.device_reason
    assert description.details["threads"] == 1


# --- files ---


def test_a_lora_adapter_changes_the_answer_and_is_named(make: Make, models: dict[str, Path]) -> None:
    plain = make("random")
    settings = plain._settings.model_copy(deep=True)
    settings.lora.enabled = True
    settings.lora.path = str(models["adapter"])
    adapted = LlamaCppBackend(settings)
    try:
        assert adapted.describe().adapter == "adapter.gguf"
        assert ask(adapted, "hi", max_new_tokens=20) != ask(plain, "hi", max_new_tokens=20)
    finally:
        adapted.close()


def test_an_adapter_in_another_format_or_place_is_named(make: Make, models: dict[str, Path]) -> None:
    settings = make("random")._settings.model_copy(deep=True)
    settings.lora.enabled = True
    settings.lora.path = "adapter.safetensors"
    with pytest.raises(ConfigurationError, match=r"adapter\.safetensors"):
        LlamaCppBackend(settings)
    settings.lora.path = "missing.gguf"
    with pytest.raises(ModelNotFound, match=r"missing\.gguf"):
        LlamaCppBackend(settings).load()
    settings.lora.path = str(models["random"])
    backend = LlamaCppBackend(settings)
    with pytest.raises(ModelUnusable, match="adapter"):
        backend.load()
    backend.close()


def test_a_missing_model_is_named(make: Make, tmp_path: Path) -> None:
    backend = make(tmp_path / "nowhere.gguf")
    with pytest.raises(ModelNotFound, match=r"nowhere\.gguf"):
        backend.load()
    with pytest.raises(ModelNotFound):
        ask(backend, "hi")


@pytest.mark.parametrize("content", [b"", b"not a model", b"GGUF" + bytes(500)])
def test_a_corrupt_model_is_refused_and_named(make: Make, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "corrupt.gguf"
    path.write_bytes(content)
    backend = make(path)
    with pytest.raises(ModelUnusable, match=r"corrupt\.gguf"):
        backend.load()
    with pytest.raises(ModelUnusable):
        ask(backend, "hi")
    assert not backend.stats().loaded


# --- death and return ---


@pytest.mark.slow
def test_killed_at_twenty_places_every_answer_is_completed_exactly(make: Make) -> None:
    backend = make("long")
    dice = random.Random(5)
    lost = 0
    for death in range(20):
        text = ""
        dies_after = dice.randint(1, 600)
        generation = backend.generate(Prompt.raw("[INST] go on [/INST]"), greedy(max_new_tokens=1500))
        try:
            for count, token in enumerate(generation):
                text += token.text
                if count == dies_after:
                    assert backend.pid is not None
                    os.kill(backend.pid, signal.SIGKILL)
        except EngineLost:
            lost += 1
        assert LONG.startswith(text), f"death {death}"
        text += ask(backend, "[INST] go on [/INST]", continued=text, max_new_tokens=1500)
        assert text == LONG, f"death {death}"
    assert lost >= 15, "the engine was done before it was killed: nothing was tested"
    assert backend.stats().restarts == 20


def test_a_saved_prefix_is_there_after_a_restart(make: Make, tmp_path: Path) -> None:
    document = "The state of the project. " * 20
    prompt = Prompt((document,), stable_prefix=len(document))
    first = make()
    first.prewarm(prompt)
    folder = tmp_path / "data" / "engine"
    wait_until(lambda: list(folder.glob("*.kv")))
    expected = ask(first, document + "What next?")
    first.close()
    second = make()
    generation = second.generate(Prompt.raw(document + "What next?"), greedy())
    assert "".join(token.text for token in generation) == expected == SENTENCE
    assert generation.usage.cached_tokens == second.count_prompt(Prompt.raw(document))
    second.close()
    saved = next(folder.glob("*.kv"))
    saved.write_bytes(saved.read_bytes()[:-1000])
    third = make()
    assert cached(third, document + "What next?") == 0
    assert ask(third, document + "What next?") == SENTENCE
    assert not saved.exists()


def test_saving_can_be_switched_off(make: Make, tmp_path: Path) -> None:
    backend = make(save_prefix=False)
    backend.prewarm(Prompt.raw("document " * 30))
    wait_until(lambda: backend.engine_figures().get("used", 0) >= 200)
    assert ask(backend, "hi") == SENTENCE
    assert not (tmp_path / "data" / "engine").exists()


def test_the_prefix_is_pinned_again_after_a_crash(make: Make) -> None:
    backend = make(save_prefix=False)
    backend.prewarm(Prompt.raw("document " * 30))
    wait_until(lambda: backend.engine_figures().get("used", 0) >= 200)
    assert backend.pid is not None
    os.kill(backend.pid, signal.SIGKILL)
    wait_until(lambda: backend.stats().restarts == 1)
    wait_until(lambda: backend.engine_figures().get("used", 0) >= 200)
