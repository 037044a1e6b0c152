"""Learns from `data/lasting.yaml` to tell by a passage's vector whether it states something that lasts.

    python benchmarks/lasting_weights.py            # the share told rightly, sentences held out in tenths
    python benchmarks/lasting_weights.py --write    # and put into shared_context/retrieval/lasting_weights.json

Logistic regression, fitted by Newton's method; its vectors are those that search compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy
import yaml
from measuring import describe_run, show
from shared_context.retrieval import encoder
from shared_context.retrieval.encoder import Encoder
from shared_context.retrieval.lasting import WEIGHTS
from shared_context.retrieval.static_vectors import NAME, StaticEmbedder

SENTENCES = Path(__file__).parent / "data" / "lasting.yaml"
RIDGE = 1.0
SCALE = 4.0
"""The mean length of a centred vector, so that one `RIDGE` fits all embedders."""
STEPS = 12
TENTHS = 10
DIGITS = 4


def embedders() -> Iterator[tuple[str, Any]]:
    """Each that is installed, with its name."""
    if (static := StaticEmbedder.installed()) is not None:
        yield NAME, static
    if Encoder.is_installed():
        with closing(Encoder()) as model:
            yield encoder.NAME, model


def vectors_of(embedder: Any, texts: Sequence[str]) -> Any:
    rows = numpy.array(embedder.embed(texts), numpy.float64)
    return rows / numpy.linalg.norm(rows, axis=1, keepdims=True)


def fitted(vectors: Any, lasting: Any) -> tuple[Any, float]:
    """Weights and bias, for vectors as they are."""
    centre = vectors.mean(axis=0)
    scale = SCALE / numpy.linalg.norm(vectors - centre, axis=1).mean()
    rows = numpy.c_[(vectors - centre) * scale, numpy.ones(len(vectors))]
    ridge = RIDGE * numpy.eye(rows.shape[1])
    ridge[-1, -1] = 1e-9
    weights = numpy.zeros(rows.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + numpy.exp(-rows @ weights))
        slope = rows.T @ (chance - lasting) + ridge @ weights
        bend = (rows * (chance * (1 - chance))[:, None]).T @ rows + ridge
        weights = weights - numpy.linalg.solve(bend, slope)
    return weights[:-1] * scale, float(weights[-1] - weights[:-1] * scale @ centre)


def told_rightly(vectors: Any, lasting: Any) -> float:
    order = numpy.random.default_rng(0).permutation(len(vectors))
    right = 0
    for tenth in range(TENTHS):
        held_out = order[tenth::TENTHS]
        rest = numpy.setdiff1d(order, held_out)
        weights, bias = fitted(vectors[rest], lasting[rest])
        right += int((((vectors[held_out] @ weights + bias) > 0) == lasting[held_out]).sum())
    return right / len(vectors)


@click.command()
@click.option("--write", is_flag=True, help="Keep what was learnt.")
def main(write: bool) -> None:
    """What a linear model over each embedder's vectors tells."""
    describe_run()
    sentences = yaml.safe_load(SENTENCES.read_text("utf-8"))
    texts = [*sentences["lasting"], *sentences["passing"]]
    lasting = numpy.arange(len(texts)) < len(sentences["lasting"])
    learnt = json.loads(WEIGHTS.read_text("utf-8")) if WEIGHTS.exists() else {}
    rows = []
    for name, embedder in embedders():
        vectors = vectors_of(embedder, texts)
        weights, bias = fitted(vectors, lasting)
        learnt[name] = {
            "bias": round(bias, DIGITS),
            "weights": [round(float(one), DIGITS) for one in weights],
        }
        rows.append([name, f"{100 * told_rightly(vectors, lasting):.1f} %"])
    show(f"{len(texts)} sentences, {sum(lasting)} of them lasting", ["vectors", "told rightly"], rows)
    if write:
        WEIGHTS.write_text(json.dumps(learnt) + "\n", "utf-8")


if __name__ == "__main__":
    main()
