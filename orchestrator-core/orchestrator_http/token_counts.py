"""Token counts of documents, counted once per version."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

MAX_ENTRIES = 64


class TokenCounts:
    """Bounded cache of counts by version. Safe from any thread."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._known: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, version: str, text: str) -> int:
        """Tokens of `text`, which `version` names."""
        with self._lock:
            if version in self._known:
                self._known.move_to_end(version)
                return self._known[version]
        tokens = self._count(text)
        with self._lock:
            self._known[version] = tokens
            while len(self._known) > MAX_ENTRIES:
                self._known.popitem(last=False)
        return tokens
