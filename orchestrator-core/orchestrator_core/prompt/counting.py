"""Token counts, remembered: the same document or message is counted once, not every turn."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """A bounded map, least recently used out first. Safe from any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of `key`; made outside the lock when unknown, so two threads may both make it."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value

    def clear(self) -> None:
        with self._lock:
            self._values.clear()


class TokenCounter:
    """Counts texts with the backend's tokenizer, each one once.

    Args:
        count_tokens: the backend's.
        most: texts remembered; only their hashes are kept.
    """

    SLICE = 65_536
    """Characters counted at once. A long document is counted in slices, cut after line ends, so
    that the engine never tokenises megabytes in one go while answers run."""

    def __init__(self, count_tokens: Callable[[str], int], most: int = 20_000) -> None:
        self._count_tokens = count_tokens
        self._counts: Remembered[bytes, int] = Remembered(most)

    def __call__(self, text: str) -> int:
        if not text:
            return 0
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return self._counts.get(key, lambda: self._count(text))

    def _count(self, text: str) -> int:
        total = 0
        while text:
            end = len(text)
            if end > self.SLICE:
                end = text.rfind("\n", 0, self.SLICE) + 1 or self.SLICE
            total += self._count_tokens(text[:end])
            text = text[end:]
        return total
