"""Which way a request takes now: a pure decision over what is known of each road.

The desktop in this network, else the VPS (which passes on, or answers), else this device's own model, else
the outbox. The addresses of the network are knocked at once and the VPS a moment later; whoever proves
itself first is taken, and one in the network whenever one is there. `roads` performs what is decided here.

Covered: roads that are half open, addresses that never answer, a network that changes on the way.
Not covered: whether who answered is who it should be; that is the probe's affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HEAD_START_S = 0.25
"""The VPS is knocked so much later than the network's own addresses."""

PROBE_S = 2.0
"""A knock that was not answered for so long has failed."""

QUIET_S = 1.0
"""A road in use that was silent for so long is knocked again."""

HEARTBEAT_S = QUIET_S + PROBE_S
"""A road of which nothing was heard for so long is dead, whatever its socket says."""

RETRY_S = 5.0
"""A road that failed is left alone for so long, unless the network changes."""

Kind = Literal["lan", "vps"]


@dataclass(frozen=True, slots=True)
class Road:
    """An address and what is known of it. Moments are seconds of one monotonic clock.

    Args:
        asked_at: of the knock that is under way; None: there is none.
        heard_at: the last proof that the right server is there.
        failed_at: the last knock, or request, that failed; None: none since it was heard.
    """

    url: str
    kind: Kind
    asked_at: float | None = None
    heard_at: float | None = None
    failed_at: float | None = None

    def is_alive(self, now: float) -> bool:
        """Whether it may be shown, and used, as connected."""
        return self.failed_at is None and self.heard_at is not None and now - self.heard_at < HEARTBEAT_S


@dataclass(frozen=True, slots=True)
class Situation:
    """
    Args:
        began: when this choice began.
        winner: the address that was used last in this network.
        own_model: this device has a model.
        own_model_first: the question is one of those that the owner has answered on the device.
    """

    now: float
    began: float
    roads: tuple[Road, ...]
    winner: str | None = None
    own_model: bool = False
    own_model_first: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """
    Args:
        way: a road of this kind, the `phone`'s own model, or the outbox's `queue`.
        url: of the road.
        reason: in words that can follow "answered by …: ".
    """

    way: Literal["lan", "vps", "phone", "queue"]
    reason: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now.

    Args:
        knock: these roads.
        give_up: the knocks at these roads are over: nobody answered.
        choice: None: wait until `look_at`, or until a knock is answered.
    """

    knock: tuple[str, ...]
    give_up: tuple[str, ...]
    choice: Choice | None
    look_at: float


def decide(situation: Situation) -> Step:
    """Pure; to be asked again after everything that happened, and at `look_at`."""
    now = situation.now
    given_up = tuple(road.url for road in situation.roads if _is_overdue(road, now))
    silent = [road for road in situation.roads if road.url in given_up]
    rest = [road for road in situation.roads if road.url not in given_up]
    knock = tuple(road.url for road in rest if _is_due(road, situation))
    return Step(
        knock,
        given_up,
        _choice(situation, rest, bool(knock)),
        min([now + QUIET_S, *_moments(situation, rest)]) if rest or silent else now + RETRY_S,
    )


def _choice(situation: Situation, roads: list[Road], knocking: bool) -> Choice | None:
    if situation.own_model_first and situation.own_model:
        return Choice("phone", "the owner has simple questions answered on this device")
    alive = [road for road in roads if road.is_alive(situation.now)]
    best = min(alive, key=lambda road: _preference(road, situation), default=None)
    if best is not None and (best.kind == "lan" or not _has_head_start(situation)):
        return Choice(best.kind, _REASONS[best.kind], best.url)
    if best is not None or knocking or any(road.asked_at is not None for road in roads):
        return None
    if _waits_for_vps(situation, roads):
        return None
    nobody = "neither the desktop nor the VPS can be reached" if situation.roads else "no address is known"
    if situation.own_model:
        return Choice("phone", nobody)
    return Choice("queue", f"{nobody}, and this device has no model")


def _is_due(road: Road, situation: Situation) -> bool:
    now = situation.now
    if road.asked_at is not None or (road.heard_at is not None and now - road.heard_at < QUIET_S):
        return False
    if road.failed_at is not None and now - road.failed_at < RETRY_S:
        return False
    return road.kind == "lan" or not _has_head_start(situation)


def _has_head_start(situation: Situation) -> bool:
    """Whether the network's own addresses are still left alone with the question."""
    undecided = any(
        road.kind == "lan" and (road.failed_at is None or situation.now - road.failed_at >= RETRY_S)
        for road in situation.roads
    )
    return undecided and situation.now < situation.began + HEAD_START_S


def _waits_for_vps(situation: Situation, roads: list[Road]) -> bool:
    """Whether the VPS will be knocked as soon as the head start is over."""
    return _has_head_start(situation) and any(
        road.kind == "vps" and (road.failed_at is None or situation.now - road.failed_at >= RETRY_S)
        for road in roads
    )


def _is_overdue(road: Road, now: float) -> bool:
    return road.asked_at is not None and now - road.asked_at >= PROBE_S


def _preference(road: Road, situation: Situation) -> tuple[bool, bool, float, str]:
    return (road.kind != "lan", road.url != situation.winner, road.heard_at or 0.0, road.url)


def _moments(situation: Situation, roads: list[Road]) -> list[float]:
    """When something changes without anybody's doing."""
    now, moments = situation.now, []
    if _has_head_start(situation):
        moments.append(situation.began + HEAD_START_S)
    for road in roads:
        if road.asked_at is not None:
            moments.append(road.asked_at + PROBE_S)
        elif road.heard_at is not None and now - road.heard_at < QUIET_S:
            moments.append(road.heard_at + QUIET_S)
    return moments


_REASONS = {
    "lan": "the desktop is in this network",
    "vps": "the desktop is not in this network, and the VPS is there",
}
