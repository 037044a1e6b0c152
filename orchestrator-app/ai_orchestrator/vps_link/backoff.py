"""How long to wait before dialling again: full jitter, so that many desktops do not come back at once."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_S = 0.25
MOST_S = 30.0
STEADY_S = 10.0
"""A connection that held so long was a good one."""
SHORT_LIVED = 3
"""Doublings after a connection that did not hold."""


class Backoff:
    """
    Args:
        draw: a number from 0 to 1, evenly distributed.
    """

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self._failures = 0

    def next_s(self) -> float:
        """Seconds to wait: anything up to a bound that doubles from 0.25 s to 30 s."""
        bound = min(MOST_S, FIRST_S * 2.0 ** min(self._failures, 20))
        self._failures += 1
        return bound * self._draw()

    def slow_s(self) -> float:
        """For what will hardly change by itself: 15 to 30 s."""
        return MOST_S * (1 + self._draw()) / 2

    def held(self, seconds: float) -> None:
        """A connection was made and held so long. One that was good starts the count again; after a short
        one the next wait is up to 2 s: the VPS is there, only the way to it comes and goes."""
        if seconds >= STEADY_S:
            self.reset()
        else:
            self._failures = min(self._failures, SHORT_LIVED)

    def reset(self) -> None:
        self._failures = 0
