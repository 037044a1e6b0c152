from __future__ import annotations

import pytest
from orchestrator_core.engine.watchdog import Liveness, WatchdogLimits, look


@pytest.mark.parametrize(
    ("unused_s", "silent_s", "owes", "expected"),
    [
        (59, 599, True, Liveness.FINE),
        (61, 599, True, Liveness.FINE),  # long at work, and heard of: an answer may take its time
        (0, 600, True, Liveness.HANGS),
        (59, 9999, False, Liveness.FINE),  # it has nothing to say
        (60, 9999, False, Liveness.IDLE),
    ],
)
def test_only_who_owes_something_can_hang_and_only_who_does_not_is_idle(
    unused_s: float, silent_s: float, owes: bool, expected: Liveness
) -> None:
    assert look(WatchdogLimits(60, 600), unused_s=unused_s, silent_s=silent_s, owes=owes)[0] is expected


def test_a_model_that_is_always_kept_is_never_idle() -> None:
    assert look(WatchdogLimits(0, 600), unused_s=1e9, silent_s=1e9, owes=False)[0] is Liveness.FINE


def test_somebody_at_work_may_be_idle_soon() -> None:
    assert look(WatchdogLimits(0.3, 600), unused_s=5, silent_s=0, owes=True)[1] == pytest.approx(0.3)


@pytest.mark.parametrize("owes", [True, False])
def test_the_next_look_is_when_something_may_be_due_and_never_at_once(owes: bool) -> None:
    assert look(WatchdogLimits(60, 600), unused_s=50, silent_s=590, owes=owes)[1] == pytest.approx(10)
    assert look(WatchdogLimits(60, 600), unused_s=99, silent_s=999, owes=owes)[1] > 0
