from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_context.storage.identity import ago, in_utc, just_after, new_id, now, timestamp

moments = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 12, 30))


def test_ids_sort_by_the_time_they_were_made() -> None:
    ids = [new_id() for _ in range(100)]
    assert ids == sorted(set(ids))


@given(moments, moments)
def test_timestamps_sort_like_the_moments_they_stand_for(one: datetime, other: datetime) -> None:
    assert (timestamp(one) < timestamp(other)) == (one < other)


@given(moments)
def test_the_next_moment_is_later_and_nothing_lies_between(moment: datetime) -> None:
    stamp = timestamp(moment)
    assert stamp < just_after(stamp)
    assert int(just_after(stamp)[-7:-1]) == (int(stamp[-7:-1]) + 1) % 1_000_000


def test_times_are_brought_to_utc() -> None:
    assert in_utc("2024-05-01T10:00:00+02:00") == "2024-05-01T08:00:00.000000Z"
    assert in_utc("2024-05-01") == "2024-05-01T00:00:00.000000Z"
    assert in_utc(now()) <= now()
    assert ago(days=1) < now()


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "0001-01-01T00:00:00+23:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        in_utc(text)
