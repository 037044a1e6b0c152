"""Texts that wait for their vectors, and which of them come next. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Part:
    """A text, or as much of a long one as the model takes at once.

    Args:
        text: its place in the request.
        tokens: with the model's special tokens around them.
    """

    text: int
    tokens: list[int]


class TextsJob:
    """Texts of one request, as tokens, and their vectors as they come.

    Args:
        texts: of each text its parts, one or more.
    """

    def __init__(self, request_id: int, texts: Sequence[Sequence[list[int]]]) -> None:
        self.request_id = request_id
        self._left = deque(Part(text, tokens) for text, parts in enumerate(texts) for tokens in parts)
        self._sums: list[Vector | None] = [None] * len(texts)

    @property
    def left(self) -> int:
        """Parts that have no vector yet."""
        return len(self._left)

    def take(self, tokens: int, texts: int) -> list[Part]:
        """The next parts, at least one, with so many tokens and of so many at most."""
        taken: list[Part] = []
        room = tokens
        while self._left and len(taken) < texts and (not taken or len(self._left[0].tokens) <= room):
            part = self._left.popleft()
            taken.append(part)
            room -= len(part.tokens)
        return taken

    def put(self, part: Part, vector: Vector) -> None:
        """What the model made of a part. Of a long text the mean counts, by tokens."""
        weighted = _scaled(vector) * len(part.tokens)
        known = self._sums[part.text]
        self._sums[part.text] = weighted if known is None else known + weighted

    def vectors(self) -> list[list[float]]:
        """One of length 1 per text, in their order, when nothing is left."""
        return [[float(value) for value in _scaled(total)] for total in self._sums if total is not None]


def next_of(jobs: Iterable[TextsJob]) -> TextsJob:
    """The one with the least to do: a question goes before the many passages said meanwhile."""
    return min(jobs, key=lambda job: job.left)


def windows(tokens: list[int], room: int) -> list[list[int]]:
    """A long text in as few parts as possible, all about as long; an empty one stays one part."""
    count = max(1, -(-len(tokens) // room))
    size = max(1, -(-len(tokens) // count))
    return [tokens[start : start + size] for start in range(0, max(1, len(tokens)), size)]


def _scaled(vector: Vector) -> Vector:
    return vector / (np.linalg.norm(vector) or np.float32(1.0))
