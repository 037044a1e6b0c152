"""Which tier answers, row by row, and what holds for every pair of tiers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.errors import TierLost, TierUnreachable
from orchestrator_core.settings import RelaySettings
from orchestrator_core.tiers.remote import TierState
from orchestrator_core.tiers.router import Decision, RoutePolicy, RouteReason, route

POLICY = RoutePolicy(overflow_queue=2, settle_s=10)
VPS = TierState("vps", reachable=True, up_s=1000)
DESKTOP = TierState("desktop", reachable=True, up_s=1000)
AWAY = TierState("desktop", reachable=False, why="no sign of it since 12:00")
NOT_READY = replace(DESKTOP, ready=False, why="memories are being exchanged")


def shaky(up_s: float, drops: int) -> TierState:
    return replace(DESKTOP, up_s=up_s, drops=drops)


def queue(tier: TierState, waiting: int) -> TierState:
    return replace(tier, queue=waiting)


@pytest.mark.parametrize(
    ("own", "other", "requested_tier", "tier", "code"),
    [
        (VPS, DESKTOP, "auto", "desktop", RouteReason.HOME),
        (VPS, AWAY, "auto", "vps", RouteReason.AWAY),
        (VPS, NOT_READY, "auto", "vps", RouteReason.NOT_READY),
        (VPS, None, "auto", "vps", RouteReason.ALONE),
        (DESKTOP, None, "auto", "desktop", RouteReason.ALONE),
        (DESKTOP, VPS, "auto", "desktop", RouteReason.HOME),
        # A connection that was lost once is used at once; one that comes and goes has to hold.
        (VPS, shaky(0.1, 1), "auto", "desktop", RouteReason.HOME),
        (VPS, shaky(9.9, 2), "auto", "vps", RouteReason.UNSTEADY),
        (VPS, shaky(10, 2), "auto", "desktop", RouteReason.HOME),
        # Overflow: above the limit, and only to a shorter queue.
        (VPS, queue(DESKTOP, 2), "auto", "desktop", RouteReason.HOME),
        (VPS, queue(DESKTOP, 3), "auto", "vps", RouteReason.BUSY),
        (queue(VPS, 3), queue(DESKTOP, 3), "auto", "desktop", RouteReason.HOME),
        (queue(VPS, 2), queue(DESKTOP, 3), "auto", "vps", RouteReason.BUSY),
        (queue(DESKTOP, 3), VPS, "auto", "vps", RouteReason.BUSY),
        (queue(DESKTOP, 3), queue(VPS, 3), "auto", "desktop", RouteReason.HOME),
        (queue(DESKTOP, 3), replace(VPS, reachable=False), "auto", "desktop", RouteReason.HOME),
        (queue(DESKTOP, 3), replace(VPS, ready=False), "auto", "desktop", RouteReason.HOME),
        # Who is named answers, whatever else speaks against it, as long as it is there.
        (VPS, AWAY, "vps", "vps", RouteReason.ASKED_FOR),
        (VPS, DESKTOP, "vps", "vps", RouteReason.ASKED_FOR),
        (VPS, queue(DESKTOP, 99), "desktop", "desktop", RouteReason.ASKED_FOR),
        (VPS, shaky(0, 9), "desktop", "desktop", RouteReason.ASKED_FOR),
        (DESKTOP, VPS, "vps", "vps", RouteReason.ASKED_FOR),
        (queue(DESKTOP, 99), VPS, "desktop", "desktop", RouteReason.ASKED_FOR),
    ],
)
def test_who_answers(
    own: TierState, other: TierState | None, requested_tier: str, tier: str, code: RouteReason
) -> None:
    decision = route(own, other, requested_tier, POLICY)
    assert (decision.tier, decision.code) == (tier, code)


@pytest.mark.parametrize(
    ("own", "other", "requested_tier", "words"),
    [
        (VPS, AWAY, "desktop", "desktop is away: no sign of it since 12:00"),
        (VPS, NOT_READY, "desktop", "desktop is not ready: memories are being exchanged"),
        (VPS, None, "desktop", "desktop is not connected here"),
        (DESKTOP, None, "vps", "vps is not connected here"),
    ],
)
def test_a_tier_that_is_named_and_away_is_refused(
    own: TierState, other: TierState | None, requested_tier: str, words: str
) -> None:
    with pytest.raises(TierUnreachable, match=words) as caught:
        route(own, other, requested_tier, POLICY)
    assert not isinstance(caught.value, TierLost)


def test_reasons_name_the_tier_and_what_is_known() -> None:
    assert route(VPS, AWAY, "auto", POLICY).reason == "the desktop is away (no sign of it since 12:00)"
    assert (
        route(VPS, queue(DESKTOP, 3), "auto", POLICY).reason == "the desktop is busy (3 answers wait there)"
    )


def test_the_policy_is_that_of_the_settings() -> None:
    relay = RelaySettings(overflow_queue=7, settle_s=3)
    assert RoutePolicy.of(relay) == RoutePolicy(overflow_queue=7, settle_s=3)


@st.composite
def tiers(draw: st.DrawFn, name: str) -> TierState:
    return TierState(
        name,
        reachable=draw(st.booleans()),
        ready=draw(st.booleans()),
        queue=draw(st.integers(0, 20)),
        up_s=draw(st.floats(0, 100)),
        drops=draw(st.integers(0, 4)),
    )


policies = st.builds(RoutePolicy, overflow_queue=st.none() | st.integers(0, 10), settle_s=st.floats(0, 60))
VPS_HERE = tiers("vps").map(lambda tier: replace(tier, reachable=True))


@given(VPS_HERE, tiers("desktop"), policies)
def test_nobody_is_asked_who_cannot_answer(own: TierState, other: TierState, policy: RoutePolicy) -> None:
    decision = route(own, other, "auto", policy)
    assert decision.reason
    if decision.tier == other.name:
        assert other.reachable
        assert other.ready


@given(VPS_HERE, tiers("desktop"), policies)
def test_a_steady_desktop_without_a_queue_is_always_asked(
    own: TierState, other: TierState, policy: RoutePolicy
) -> None:
    steady = replace(other, reachable=True, ready=True, drops=0, queue=0)
    assert route(own, steady, "auto", policy) == Decision("desktop", "the desktop is there", RouteReason.HOME)


@given(VPS_HERE, tiers("desktop"), policies)
def test_two_tiers_do_not_both_pass_a_question_to_each_other(
    vps: TierState, desktop: TierState, policy: RoutePolicy
) -> None:
    desktop = replace(desktop, reachable=True)
    at_vps = route(vps, desktop, "auto", policy)
    at_desktop = route(desktop, vps, "auto", policy)
    assert (at_vps.tier, at_desktop.tier) != ("desktop", "vps")
