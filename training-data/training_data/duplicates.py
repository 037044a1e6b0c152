"""Which texts say the same: near-duplicates by the angle between their vectors, and groups of them."""

from __future__ import annotations

import shlex
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
from shared_context.retrieval.static_vectors import PACKAGE, StaticEmbedder

from training_data.errors import MissingLibrary
from training_data.records import Record
from training_data.wording import plain_words

SAME = 0.95
"""Cosine from which two texts count as one text said twice."""
ALIKE = 0.9
"""Cosine from which one text would give the other away: paraphrases, over-cautiously."""
_BLOCK = 1024
"""Rows compared at once with all others: some hundred MB at 20,000 examples."""


def similar(texts: Sequence[str], least: float) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of texts whose vectors have at least this cosine; texts of equal words always.

    Raises:
        MissingLibrary: there are no vectors on this machine.
    """
    # Case and marks change a static vector, and no meaning.
    texts = [" ".join(plain_words(text)) for text in texts]
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    first: dict[str, int] = {}
    places: dict[int, list[int]] = defaultdict(list)
    for i, text in enumerate(texts):
        if first.setdefault(text, i) != i:
            yield first[text], i
        places[distinct[text]].append(i)
    if not distinct:
        return
    vectors = np.stack(_embedder().embed(list(distinct)))
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    for start in range(0, len(vectors), _BLOCK):
        near = np.argwhere(vectors[start : start + _BLOCK] @ vectors.T >= least)
        for row, column in near.tolist():
            if start + row < column:
                yield places[start + row][0], places[column][0]


@cache
def _embedder() -> StaticEmbedder:
    embedder = StaticEmbedder.installed()
    if embedder is None:
        raise MissingLibrary(
            f"Near-duplicates cannot be found without {PACKAGE}.",
            f"Run: {shlex.quote(sys.executable)} -m pip install {PACKAGE}",
        )
    return embedder


def joined(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The numbers below `count` in groups: what a pair joins, directly or by way of others, is together."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs:
        parent[root(i)] = root(j)
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(count):
        groups[root(i)].append(i)
    return list(groups.values())


def repeated(records: Sequence[Record]) -> set[int]:
    """Places of records that say again what an earlier one does: the same prompt and the same answer.

    Two that differ in a figure, as a port or a date, are not the same.
    """
    prompts = ["\n".join(turn.content for turn in record.turns[:-1]) for record in records]
    left = list(range(len(records)))
    # Of prompts that are equal, `similar` pairs only the first with each other one: what that one hid, shows next.
    while again := _repeated_once(records, [prompts[i] for i in left], left):
        left = [i for i in left if i not in again]
    return set(range(len(records))) - set(left)


def _repeated_once(records: Sequence[Record], prompts: Sequence[str], places: Sequence[int]) -> set[int]:
    again: set[int] = set()
    for one, other in sorted(similar(prompts, SAME), key=lambda pair: (pair[1], pair[0])):
        i, j = places[one], places[other]
        if i not in again and _same_answer(records[i].answer, records[j].answer):
            again.add(j)
    return again


def _same_answer(one: str, other: str) -> bool:
    return one == other or (_figures(one) == _figures(other) and any(similar((one, other), SAME)))


def _figures(text: str) -> list[str]:
    return sorted(word for word in text.split() if any(character.isdigit() for character in word))
