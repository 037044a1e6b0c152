"""When a running engine process should be ended: because nobody needs it, or because it hangs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SHORTEST_WAIT_S = 0.05


class Liveness(StrEnum):
    FINE = "fine"
    IDLE = "idle"
    HANGS = "hangs"


@dataclass(frozen=True, slots=True)
class WatchdogLimits:
    """
    Args:
        idle_s: without any request for so long it is not needed; 0: always.
        silence_s: with work to do and nothing said for so long it hangs.
    """

    idle_s: float
    silence_s: float


def look(limits: WatchdogLimits, *, unused_s: float, silent_s: float, owes: bool) -> tuple[Liveness, float]:
    """What to think of the process, and after how many seconds to look again.

    Args:
        unused_s: since the last request.
        silent_s: since it was heard of, or was given work after a pause.
        owes: whether somebody waits for it.
    """
    longest_s = limits.idle_s or limits.silence_s  # what it owes may be done at any moment
    if owes:
        liveness, left = Liveness.HANGS, limits.silence_s - silent_s
    else:
        liveness, left = Liveness.IDLE, limits.idle_s - unused_s if limits.idle_s else longest_s
    return (liveness if left <= 0 else Liveness.FINE), max(min(left, longest_s), SHORTEST_WAIT_S)
