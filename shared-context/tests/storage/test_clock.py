from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from shared_context.storage.clock import MAX_AHEAD, Clock, stamp_of, time_of
from shared_context.storage.identity import after

NOON = "2026-05-01T12:00:00.000000Z"
LAST_YEAR = "2025-05-01T12:00:00.000000Z"
NEXT_YEAR = "2027-05-01T12:00:00.000000Z"


def test_stamps_of_one_moment_are_in_order() -> None:
    clock = Clock(lambda: NOON)
    stamps = [clock.stamp("a") for _ in range(70_000)]
    assert stamps == sorted(set(stamps))
    assert stamps[0] == f"{NOON}-0000-a"


@given(st.lists(st.integers(-(10**9), 10**9), max_size=50))
def test_stamps_never_run_backwards_whatever_the_wall_clock_does(microseconds: list[int]) -> None:
    walls = iter(after(NOON, timedelta(microseconds=each)) for each in microseconds)
    clock = Clock(lambda: next(walls))
    stamps = [clock.stamp("a") for _ in microseconds]
    assert stamps == sorted(set(stamps))


def test_what_was_observed_is_followed() -> None:
    clock = Clock(lambda: NOON)
    seen = stamp_of(after(NOON, MAX_AHEAD), "z", 7)
    clock.observe(seen)
    assert clock.stamp("a") > seen


def test_a_clock_a_year_ahead_drags_nobody_along() -> None:
    clock = Clock(lambda: NOON)
    clock.observe(stamp_of(NEXT_YEAR, "z"))
    assert time_of(clock.stamp("a")) == NOON


def test_whoever_replaces_a_value_wins_over_it_even_against_a_clock_a_year_ahead() -> None:
    clock = Clock(lambda: LAST_YEAR)
    theirs = stamp_of(NEXT_YEAR, "z")
    mine = clock.stamp("a", over=theirs)
    assert mine > theirs
    assert clock.stamp("a", over=mine) > mine
    assert time_of(clock.stamp("a")) == LAST_YEAR
