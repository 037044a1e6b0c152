"""Embedding models in engine processes of their own, against transformers with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gguf_random import random_model
from orchestrator_core.backends.gguf_embedder import GgufEmbedder
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.errors import InvalidRequest, ModelNotFound, ModelUnusable
from orchestrator_core.settings import Settings
from support.tiny_bert import FIRST, LAST, TinyBert

TEXTS = [
    "The walnut box of my aunt.",
    "Behind the chimney?",
    "zebra",
    "ÄÖÜ the Box 日",
    "a",
]
CONTEXT = 64
WAIT_S = 60.0

Make = Callable[..., GgufEmbedder]


def settings(**engine: object) -> Settings:
    return Settings.model_validate({"engine": {"threads": 1, **engine}})


@pytest.fixture(scope="module")
def berts(tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, TinyBert]:
    folder = tmp_path_factory.mktemp("berts")
    poolings = ("mean", "cls", "none", "rank", None)
    return {one: TinyBert(folder / f"{one}.gguf", pooling=one, context=CONTEXT) for one in poolings}


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[GgufEmbedder] = []

    def new(path: Path, **engine: object) -> GgufEmbedder:
        made.append(GgufEmbedder(path, settings(**engine)))
        return made[-1]

    yield new
    for embedder in made:
        embedder.close()


def nearness(found: list[list[float]], wanted: list[np.ndarray]) -> float:
    """Of the pair that is least near."""
    return min(float(np.dot(one, other)) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("pooling", ["mean", "cls", "none", None])
def test_vectors_are_those_of_transformers(
    make: Make, berts: dict[str | None, TinyBert], pooling: str | None
) -> None:
    found = make(berts[pooling].path).embed(TEXTS)
    assert [np.linalg.norm(one) for one in found] == pytest.approx([1.0] * len(TEXTS))
    assert nearness(found, berts[pooling].embed(TEXTS)) > 0.999
    if pooling == "cls":
        assert nearness(found, berts["mean"].embed(TEXTS)) < 0.99, "a test that cannot tell them apart"


def test_a_control_token_in_a_text_is_text(make: Make, berts: dict[str | None, TinyBert]) -> None:
    bert = berts["mean"]
    assert bert.tokens("red [SEP] boat") != bert.tokens("red [ sep ] boat")
    assert nearness(make(bert.path).embed(["red [SEP] boat"]), bert.embed(["red [ sep ] boat"])) > 0.999


def test_a_text_has_the_same_vector_alone_and_among_many(
    make: Make, berts: dict[str | None, TinyBert]
) -> None:
    embedder = make(berts["mean"].path)
    many = [f"{text} {number * 'red boat '}" for number in range(7) for text in TEXTS]
    together = embedder.embed(many)
    alone = [np.array(embedder.embed([text])[0]) for text in many]
    assert nearness(together, alone) > 0.9999


def test_a_long_text_counts_with_all_its_parts(make: Make, berts: dict[str | None, TinyBert]) -> None:
    bert = berts["mean"]
    text = "the red boat is behind my aunt . " * 12 + "walnut , walnut , walnut ?"
    tokens = bert.tokens(text)[1:-1]
    assert len(tokens) > CONTEXT
    size = -(-len(tokens) // 2)
    halves = [tokens[:size], tokens[size:]]
    vectors = [bert.embed_tokens([FIRST, *half, LAST]) * (len(half) + 2) for half in halves]
    whole = sum(vectors) / np.linalg.norm(sum(vectors))
    assert nearness(make(bert.path).embed([text, "boat"]), [whole, *bert.embed(["boat"])]) > 0.999


def test_a_question_is_answered_beside_many_passages(make: Make, berts: dict[str | None, TinyBert]) -> None:
    embedder = make(berts["mean"].path)
    with ThreadPoolExecutor(2) as pool:
        passages = pool.submit(embedder.embed, ["the red boat . " * 12] * 300)
        question = pool.submit(embedder.embed, ["boat?"])
        assert nearness(question.result(WAIT_S), berts["mean"].embed(["boat?"])) > 0.999
        assert len(passages.result(WAIT_S)) == 300


def test_a_bad_text_is_the_callers_mistake(make: Make, berts: dict[str | None, TinyBert]) -> None:
    embedder = make(berts["mean"].path)
    assert embedder.embed([]) == []
    for text in ("", "\ud800"):
        with pytest.raises(InvalidRequest):
            embedder.embed(["boat", text])
    assert len(embedder.embed([" \n", "\U0001f6f6"])) == 2


def test_what_makes_no_embeddings_is_refused(
    make: Make, berts: dict[str | None, TinyBert], tmp_path: Path
) -> None:
    with pytest.raises(ModelUnusable, match="ranks pairs") as refused:
        make(berts["rank"].path).load()
    assert "context.embeddings" in str(refused.value.hint)
    with pytest.raises(ModelNotFound, match="none.gguf"):
        make(tmp_path / "none.gguf").embed(["boat"])


def test_an_encoder_cannot_answer(berts: dict[str | None, TinyBert], tmp_path: Path) -> None:
    backend = LlamaCppBackend(settings(), path=berts["mean"].path)
    try:
        with pytest.raises(ModelUnusable, match="writes no text") as refused:
            backend.load()
        assert "context.embeddings" in str(refused.value.hint)
    finally:
        backend.close()


def test_a_decoder_makes_vectors_too(make: Make, tmp_path: Path) -> None:
    shape = {"layers": 2, "width": 128, "heads": 4, "kv_heads": 2, "ffn": 256, "vocab": 512}
    path = random_model(tmp_path / "random.gguf", **shape, context=256, quant="F32", seed=3)
    embedder = make(path)
    one, two, three = embedder.embed(["tide", "ebb " * 300, "tide"])
    assert np.dot(one, three) == pytest.approx(1.0, abs=1e-5)
    assert np.dot(one, two) < 0.999
    assert embedder.details()["pooling"] == "mean"


def test_the_loaded_model_is_described(make: Make, berts: dict[str | None, TinyBert]) -> None:
    details = make(berts["cls"].path).details()
    assert (details["pooling"], details["width"], details["threads"]) == ("cls", 64, 1)
