"""Joins rankings, and the place where embeddings come in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any, Generic, Protocol, TypeVar

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


class Vectors(Generic[Item]):
    """Vectors in memory, compared by cosine. Not thread-safe.

    Args:
        most_bytes: of all together; beyond it the oldest are forgotten.
    """

    def __init__(self, most_bytes: int = 64 * 2**20) -> None:
        import numpy  # slow to import, and many a process has no vectors

        self._numpy = numpy
        self._most_bytes = most_bytes
        self._items: list[Item] = []
        self._matrix: Any = numpy.empty((0, 0), dtype=numpy.float32)
        """Its first rows are the items'; the rest is room for more."""
        self._centre: tuple[Any, Any] | None = None
        """The mean of all, and each one's distance from it; None where one was added since."""

    def __len__(self) -> int:
        return len(self._items)

    def room(self, width: int) -> int:
        """How many vectors of so many numbers are kept at most."""
        return max(1, self._most_bytes // (4 * width))

    def put(self, item: Item, vector: Sequence[float] | bytes) -> bytes:
        """Adds a vector, newest last; its numbers, scaled to length 1, as bytes to be stored."""
        numpy = self._numpy
        if isinstance(vector, bytes):
            row = numpy.frombuffer(vector, dtype=numpy.float32)
        else:
            values = numpy.asarray(vector, dtype=numpy.float32)
            row = values / (float(numpy.linalg.norm(values)) or 1.0)
        self._make_room(len(row))
        self._matrix[len(self._items)] = row
        self._items.append(item)
        self._centre = None
        return bytes(row.tobytes())

    def _make_room(self, width: int) -> None:
        """For one vector more."""
        count, most = len(self._items), self.room(width)
        if count >= most:
            # Some more at once: each time moves all the others.
            gone = max(1, count // 16)
            self._matrix[: count - gone] = self._matrix[gone:count]
            del self._items[:gone]
        elif count == len(self._matrix):
            larger = self._numpy.empty((min(most, count + count // 8 + 64), width), dtype=self._numpy.float32)
            if count:
                larger[:count] = self._matrix
            self._matrix = larger

    def nearest(self, vector: Sequence[float], limit: int) -> list[tuple[Item, float]]:
        """The closest, closest first, each with its standing."""
        return self.best(self.standing(vector), limit)

    def best(self, scores: Any, limit: int) -> list[tuple[Item, float]]:
        """The items with the highest of these scores, one for each item, highest first."""
        limit = min(limit, len(scores))
        best: Any = self._numpy.argpartition(-scores, limit - 1)[:limit] if limit else []
        return [(self._items[at], float(scores[at])) for at in sorted(best, key=lambda at: -scores[at])]

    def weighted(self, weights: Any) -> Any:
        """The sum of each item's numbers, each times its weight."""
        return self._times(weights) if self._items else self._numpy.empty(0)

    def standing(self, vector: Sequence[float]) -> Any:
        """How far each item stands out: its closeness in standard deviations above the mean of all. What
        closeness itself means differs from model to model.

        Closeness is the cosine after the mean of all vectors is taken from both: what all texts of a
        memory have in common tells none of them apart (Mu and Viswanath 2018, "All-but-the-Top").
        """
        if not self._items:
            return self._numpy.empty(0)
        numpy = self._numpy
        if self._centre is None:
            mean = self._matrix[: len(self._items)].mean(axis=0)
            self._centre = mean, numpy.sqrt(numpy.maximum(1 - 2 * self._times(mean) + mean @ mean, 1e-6))
        mean, distances = self._centre
        wanted = numpy.asarray(vector, dtype=numpy.float32)
        wanted = wanted / (float(numpy.linalg.norm(wanted)) or 1.0) - mean
        closeness = (self._times(wanted) - mean @ wanted) / distances
        return (closeness - closeness.mean()) / (float(closeness.std()) or 1.0)

    def _times(self, vector: Any) -> Any:
        """All vectors times one. Not with `@`: BLAS's threads wait for each other where the cores are busy."""
        return self._numpy.einsum("ij,j->i", self._matrix[: len(self._items)], vector)
