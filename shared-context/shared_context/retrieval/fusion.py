"""Joins rankings, and the place where embeddings come in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any, Protocol, TypeVar

from shared_context.errors import SharedContextError

Item = TypeVar("Item", bound=Hashable)

RANK_OFFSET = 60
"""Cormack, Clarke and Büttcher 2009: how little the first places stand out."""


class Embedder(Protocol):
    """Turns texts into vectors; a chat backend's `embed` is one."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]: ...


def fused(
    rankings: Sequence[Sequence[Item]], weights: Sequence[float] | None = None
) -> list[tuple[Item, float]]:
    """Reciprocal rank fusion: what several rankings have near the top comes first."""
    scores: dict[Item, float] = defaultdict(float)
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for place, item in enumerate(ranking, start=1):
            scores[item] += weight / (RANK_OFFSET + place)
    return sorted(scores.items(), key=lambda one: -one[1])


class Vectors:
    """Vectors of passages in memory, compared by cosine.

    Args:
        embedder: asked once per passage and once per question.

    Raises:
        SharedContextError: numpy is not installed.
    """

    BATCH = 32

    def __init__(self, embedder: Embedder) -> None:
        try:
            import numpy
        except ImportError as error:
            raise SharedContextError("Embeddings need numpy.", "pip install numpy") from error
        self._numpy = numpy
        self._embedder = embedder
        self._keys: list[tuple[str, str, int]] = []
        self._rows: list[Any] = []

    def add(self, keys: Sequence[tuple[str, str, int]], texts: Sequence[str]) -> None:
        """Passages by `(source, item, part)`."""
        for start in range(0, len(texts), self.BATCH):
            vectors = self._embedder.embed(list(texts[start : start + self.BATCH]))
            self._rows.extend(self._unit(vector) for vector in vectors)
        self._keys.extend(keys)

    def nearest(self, text: str, limit: int) -> list[tuple[str, str, int]]:
        """Keys of the passages closest in meaning, closest first."""
        if not self._keys:
            return []
        matrix = self._numpy.stack(self._rows)
        closeness = matrix @ self._unit(self._embedder.embed([text])[0])
        return [self._keys[place] for place in self._numpy.argsort(-closeness)[:limit]]

    def _unit(self, vector: Sequence[float]) -> Any:
        values = self._numpy.asarray(vector, dtype=self._numpy.float32)
        return values / (float(self._numpy.linalg.norm(values)) or 1.0)
