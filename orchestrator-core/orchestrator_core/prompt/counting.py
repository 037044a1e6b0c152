"""Token counts, remembered: the same document or message is counted once, not every turn."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from orchestrator_core.remembered import Remembered


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
