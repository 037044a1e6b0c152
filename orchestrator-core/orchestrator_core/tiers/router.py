"""Which tier answers a question: a pure decision, with its reason in words for people.

The desktop is home: it answers whenever it can. Another tier answers in its place when it is away,
when it is not ready, while its connection comes and goes, and when too many answers wait there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from orchestrator_core.errors import TierUnreachable
from orchestrator_core.settings import RelaySettings
from orchestrator_core.tiers.remote import TierState

HOME = "desktop"
"""The source of truth, with the better model."""

MOST_DROPS = 1
"""Losses within a minute that are taken for bad luck; more are taken for a bad connection."""

RequestedTier = Literal["auto", "desktop", "vps"]


class RouteReason(StrEnum):
    """The reason of a decision, for programs."""

    ALONE = "alone"
    ASKED_FOR = "asked_for"
    HOME = "home"
    AWAY = "away"
    NOT_READY = "not_ready"
    UNSTEADY = "unsteady"
    BUSY = "busy"
    LOST = "lost"
    PASSED_ON = "passed_on"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """
    Args:
        overflow_queue: with more answers than this waiting at one tier, the other is asked, when
            fewer wait there; None: never.
        settle_s: a connection that was lost more than once within a minute has to hold so many
            seconds to be used again.
    """

    overflow_queue: int | None = None
    settle_s: float = 10.0

    @classmethod
    def of(cls, relay: RelaySettings) -> RoutePolicy:
        return cls(overflow_queue=relay.overflow_queue, settle_s=relay.settle_s)


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Args:
        tier: who is to answer.
        reason: why, in words that can follow "answered by the vps: ".
    """

    tier: str
    reason: str
    code: RouteReason


def route(own: TierState, other: TierState | None, requested_tier: str, policy: RoutePolicy) -> Decision:
    """Who answers.

    Args:
        own: the tier that decides. It is there, so that it can always be chosen.
        other: the tier that it could ask, or None.
        requested_tier: of the client: `auto`, or a tier's name. A named tier answers also when others would
            be preferred to it.

    Raises:
        TierUnreachable: the named tier is away, not ready, or not known here.
    """
    if requested_tier not in ("auto", own.name):
        return _demanded(other, requested_tier)
    if requested_tier == own.name:
        return Decision(own.name, f"the {own.name} was asked for", RouteReason.ASKED_FOR)
    if other is None:
        return Decision(own.name, f"the {own.name} was asked and answers itself", RouteReason.ALONE)
    if own.name == HOME:
        return _at_home(own, other, policy)
    return _elsewhere(own, other, policy)


def _demanded(other: TierState | None, requested_tier: str) -> Decision:
    if other is None or other.name != requested_tier:
        raise TierUnreachable(
            f"The {requested_tier} is not connected here.", hint="Leave 'tier' out, or give 'auto'."
        )
    if not (other.reachable and other.ready):
        because = f": {other.why}" if other.why else ""
        state = "not ready" if other.reachable else "away"
        raise TierUnreachable(
            f"The {requested_tier} is {state}{because}.",
            hint="Leave 'tier' out, or give 'auto', to have another tier answer in its place.",
        )
    return Decision(requested_tier, f"the {requested_tier} was asked for", RouteReason.ASKED_FOR)


def _at_home(own: TierState, other: TierState, policy: RoutePolicy) -> Decision:
    if _overfull(own, other, policy) and _trouble(other, policy) is None:
        return Decision(other.name, _busy(own), RouteReason.BUSY)
    return Decision(own.name, f"the {own.name} was asked and answers itself", RouteReason.HOME)


def _elsewhere(own: TierState, other: TierState, policy: RoutePolicy) -> Decision:
    trouble = _trouble(other, policy)
    if trouble is not None:
        return Decision(own.name, *trouble)
    if _overfull(other, own, policy):
        return Decision(own.name, _busy(other), RouteReason.BUSY)
    return Decision(other.name, f"the {other.name} is there", RouteReason.HOME)


def _trouble(tier: TierState, policy: RoutePolicy) -> tuple[str, RouteReason] | None:
    """Why this tier should not be asked."""
    because = f" ({tier.why})" if tier.why else ""
    if not tier.reachable:
        return f"the {tier.name} is away{because}", RouteReason.AWAY
    if not tier.ready:
        return f"the {tier.name} is not ready yet{because}", RouteReason.NOT_READY
    if tier.drops > MOST_DROPS and tier.up_s < policy.settle_s:
        return f"the connection to the {tier.name} comes and goes", RouteReason.UNSTEADY
    return None


def _overfull(tier: TierState, instead: TierState, policy: RoutePolicy) -> bool:
    """Moving a question to a queue that is as long helps nobody."""
    limit = policy.overflow_queue
    return limit is not None and tier.queue > limit and instead.queue < tier.queue


def _busy(tier: TierState) -> str:
    return f"the {tier.name} is busy ({tier.queue} answers wait there)"
