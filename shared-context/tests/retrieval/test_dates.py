from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_context.retrieval.dates import day_in, periods_in

ASKED_AT = "2026-03-11T09:00:00Z"  # a Wednesday


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("what happened in May 2025?", "2025-05-31T10:00:00Z", "2024-05-31T10:00:00Z"),
        ("what happened in May?", "2024-05-01", "2024-06-01"),
        ("the talk on 6 May 2025", "2025-05-06", "2025-05-07"),
        ("the talk on May 6th", "2025-05-06", "2025-05-07"),
        ("on 2025-05-06", "2025-05-06T23:59:59Z", "2025-05-07"),
        ("the plans of 2025-05", "2025-05-17", "2025-06-01"),
        ("everything from 1999 in 2025", "2025-12-31", "2026-01-01"),
        ("last winter", "2025-12-24", "2025-11-30"),
        ("in winter", "2025-02-28", "2025-03-01"),
        ("what did we do last week", "2026-03-05", "2026-02-20"),
        ("what did we do yesterday", "2026-03-10", "2026-03-11"),
        ("what did we do last month", "2026-02-01", "2026-03-01"),
        ("what did we do this month", "2026-03-01", "2026-02-28"),
        ("what did we do last year", "2025-07-01", "2026-01-01"),
    ],
)
def test_times_in_words(text: str, inside: str, outside: str) -> None:
    (period,) = periods_in(text, ASKED_AT)
    assert period.holds(inside)
    assert not period.holds(outside)


@pytest.mark.parametrize("text", ["you may go", "41 May", "2025-13-01", "they march on", "last week", ""])
def test_what_is_no_time_gives_none(text: str) -> None:
    assert periods_in(text) == ()


@given(st.text(), st.text(max_size=12))
def test_any_text_can_be_read(text: str, asked_at: str) -> None:
    assert isinstance(periods_in(text, asked_at), tuple)


@pytest.mark.parametrize("asked_at", ["0001-01-01", "9999-12-31"])
def test_the_first_and_last_days_of_the_calendar(asked_at: str) -> None:
    assert isinstance(periods_in("yesterday, last week, last month and last year", asked_at), tuple)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2023-05-08", "2023-05-08"),
        ("2023-05-08T13:56:00Z", "2023-05-08"),
        ("1:56 pm on 8 May, 2023", "2023-05-08"),
        ("May 8th, 2023", "2023-05-08"),
        ("May 2023", ""),
        ("", ""),
    ],
)
def test_the_day_of_a_session(text: str, day: str) -> None:
    assert day_in(text) == day
