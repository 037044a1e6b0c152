"""Stop sequences, found in text that arrives in pieces.

The matcher knows nothing of tokens. A stop counts from the moment its last character has
arrived: where several are complete at the same character the longest wins. This rule does
not depend on how the text is cut into pieces, unlike "the leftmost in this piece".
"""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Releases text up to the first stop sequence, and holds back only what may become one.

    Args:
        stops: the sequences; none may be empty.
        seen: the end of the text that was already shown before a seam. A stop that begins
            there and ends in the new text still ends the answer; one that lies completely
            in `seen` is ignored, because it was shown and cannot be taken back.

    Held-back text is never longer than the longest stop minus one character.
    """

    def __init__(self, stops: Sequence[str], seen: str = "") -> None:
        if isinstance(stops, str):
            raise TypeError("stops must be a sequence of strings, not one string")
        if any(stop == "" for stop in stops):
            raise ValueError("a stop sequence must not be empty")
        self._stops = tuple(dict.fromkeys(stops))
        self._reach = max((len(stop) for stop in self._stops), default=1) - 1
        self._before = seen[-self._reach :] if self._reach else ""
        self._held = ""
        self.matched: str | None = None
        """The stop that ended the text, once one has."""

    @property
    def stopped(self) -> bool:
        return self.matched is not None

    @property
    def held(self) -> str:
        """Text that arrived and is not released yet, because a stop may begin in it."""
        return self._held

    def feed(self, text: str) -> tuple[str, bool]:
        """The text that is now safe to show, and whether a stop was reached.

        After a stop everything further is swallowed: `("", True)`.
        """
        if self.stopped:
            return "", True
        examined = len(self._before) + len(self._held)
        window = self._before + self._held + text
        complete = self._first_complete(window, examined)
        if complete is not None:
            start, self.matched = complete
            released = window[len(self._before) : start]
            self._held = ""
            return released, True
        keep = self._partial_match(window)
        cut = max(len(self._before), len(window) - keep)
        released = window[len(self._before) : cut]
        self._held = window[cut:]
        self._before = window[max(0, cut - self._reach) : cut] if self._reach else ""
        return released, False

    def flush(self) -> str:
        """End of the text: what was held back did not become a stop."""
        rest, self._held = self._held, ""
        self._before = (self._before + rest)[-self._reach :] if self._reach else ""
        return rest

    def _first_complete(self, window: str, examined: int) -> tuple[int, str] | None:
        """Start and text of the stop that is complete first after `examined` characters."""
        best: tuple[int, int, str] | None = None
        for stop in self._stops:
            start = window.find(stop, max(0, examined - len(stop) + 1))
            if start >= 0:
                candidate = (start + len(stop), start, stop)
                best = candidate if best is None else min(best, candidate)
        return None if best is None else (best[1], best[2])

    def _partial_match(self, window: str) -> int:
        """Length of the longest end of `window` that begins a stop without completing it."""
        for length in range(min(self._reach, len(window)), 0, -1):
            tail = window[-length:]
            if any(len(stop) > length and stop.startswith(tail) for stop in self._stops):
                return length
        return 0
