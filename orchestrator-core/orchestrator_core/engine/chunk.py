"""How much prefill a step may have."""

from __future__ import annotations

PAUSE_S = 0.25
"""While answers are running, prefill takes at most about this long per step: the chunk shrinks to
what this machine can compute in that time."""

MIN_CHUNK = 32
"""Below this many tokens per step prefill gets inefficient, whatever the machine."""


class ChunkSize:
    """How many prompt tokens a step may have: all allowed, or as many as PAUSE_S takes while answers run."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seconds_per_token: float | None = None

    def size(self, answers_running: bool) -> int:
        if not answers_running or self._seconds_per_token is None:
            return self._most
        return min(self._most, max(MIN_CHUNK, int(PAUSE_S / self._seconds_per_token)))

    def observe(self, tokens: int, seconds: float) -> None:
        """Learn from a step; small ones say more about decoding than about prefill."""
        if tokens < MIN_CHUNK // 2:
            return
        latest = seconds / tokens
        known = self._seconds_per_token
        self._seconds_per_token = latest if known is None else 0.7 * known + 0.3 * latest
