"""A hybrid logical clock: stamps that sort by time and never run backwards.

A stamp is text of fixed shape, so that comparing text compares stamps on every replica:

    2026-11-21T09:03:07.123456Z-0000-3kTq8Zr1vQ4x
    time, UTC                   |    who made it: breaks ties
                                how many stamps this moment had before

After Kulkarni et al., "Logical Physical Clocks" (2014), with two differences. A stamp of a clock that
is far ahead does not drag this clock along, or one machine set to the wrong year would take all
others there. And whoever overwrites a value passes the stamp it had, so that a person who sees a
value and changes it always wins, whatever the clocks say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from shared_context.storage.identity import after, just_after, now

MAX_AHEAD = timedelta(minutes=5)
"""How far another machine's clock may pull this one forward."""

_TIME_CHARS = 27
_LAST_COUNT = 0xFFFF


class Clock:
    """Makes this replica's stamps. Safe to use from any thread.

    Args:
        wall: the time, as `identity.now` gives it.
    """

    def __init__(self, wall: Callable[[], str] = now) -> None:
        self._wall = wall
        self._last = ("", 0)
        self._lock = threading.Lock()

    def stamp(self, maker: str, over: str | None = None) -> str:
        """The next stamp: later than all this clock made or observed.

        Args:
            maker: id of the replica's writer.
            over: the stamp of what is being replaced; the new one is later, always.
        """
        with self._lock:
            self._last = _later(self._last, self._wall())
            made = self._last
            if over is not None and made <= _parts(over):
                made = _later(_parts(over))
            return stamp_of(made[0], maker, made[1])

    def observe(self, stamp: str) -> None:
        """Another replica made this one; later stamps of this clock follow it, unless it is from
        a clock too far ahead."""
        with self._lock:
            if stamp[:_TIME_CHARS] <= after(self._wall(), MAX_AHEAD):
                self._last = max(self._last, _parts(stamp))


def stamp_of(moment: str, maker: str, count: int = 0) -> str:
    return f"{moment}-{count:04x}-{maker}"


def time_of(stamp: str) -> str:
    """The time in a stamp, as ISO 8601 UTC."""
    return stamp[:_TIME_CHARS]


def _later(last: tuple[str, int], wall: str = "") -> tuple[str, int]:
    moment, count = last
    if wall > moment:
        return wall, 0
    return (moment, count + 1) if count < _LAST_COUNT else (just_after(moment), 0)


def _parts(stamp: str) -> tuple[str, int]:
    return stamp[:_TIME_CHARS], int(stamp[_TIME_CHARS + 1 : _TIME_CHARS + 5], 16)
