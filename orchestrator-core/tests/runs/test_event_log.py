from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.runs.event_log import MAX_EVENTS, READ_BATCH, EventLog
from orchestrator_core.runs.spec import RunEvent


def offsets(events: list[RunEvent | None]) -> list[int]:
    return [event.offset for event in events if event is not None]


def finished(tokens: int) -> EventLog:
    log = EventLog()
    for number in range(tokens):
        log.append(f"t{number} ")
    log.append(("done", {"done": True}))
    log.close()
    return log


def test_offsets_begin_at_one_and_rise_by_one() -> None:
    log = finished(3)
    events = list(log.follow())
    assert offsets(events) == [1, 2, 3, 4]
    assert events[0] == RunEvent(1, "token", {"token": "t0 "})
    assert events[-1] == RunEvent(4, "done", {"done": True})
    assert log.text == "t0 t1 t2 "


@given(st.integers(0, 600), st.integers(-3, 700))
def test_following_yields_exactly_what_comes_after_the_offset(tokens: int, after: int) -> None:
    log = finished(tokens)
    last = tokens + 1
    expected = [offset for offset in range(1, last + 1) if offset > after]
    # Whoever claims to have seen more than there is still learns how it ended.
    assert offsets(list(log.follow(after))) == ([last] if after > last else expected)


def test_a_follower_that_has_seen_the_end_sees_nothing_more() -> None:
    assert list(finished(2).follow(3)) == []


def test_without_news_none_is_yielded_after_the_timeout() -> None:
    log = EventLog()
    follower = log.follow(timeout=0)
    assert next(follower) is None
    log.append("x")
    event = next(follower)
    assert event is not None
    assert event.data == {"token": "x"}
    assert next(follower) is None
    log.close()
    assert list(follower) == []


def test_a_closed_log_without_an_end_ends_its_followers() -> None:
    log = EventLog()
    log.append("x")
    log.close()
    assert offsets(list(log.follow())) == [1]
    assert list(log.follow(7)) == []


def test_each_process_has_offsets_of_its_own() -> None:
    log = EventLog([(1, "a"), (2, "b")])
    assert log.leap(1) == 2
    assert log.append(("seam", {"from": 2})) == MAX_EVENTS + 1
    assert log.append("c") == MAX_EVENTS + 2
    for seen in (2, 3, 500, MAX_EVENTS):
        first = next(log.follow(seen))
        assert first is not None
        assert first.kind == "seam"
    assert log.text == "abc"
    assert log.seams() == [(MAX_EVENTS + 1, 2, {"from": 2})]


def test_a_process_that_flushed_nothing_has_used_its_offsets_all_the_same() -> None:
    second, third = EventLog([(1, "a")]), EventLog([(1, "a")])
    second.leap(1)
    seen = [second.append("seam"), second.append("shown but never flushed")]
    third.leap(2)
    assert third.append("seam") > max(seen)


def test_many_followers_at_once_all_see_everything() -> None:
    log = EventLog()
    seen: list[list[int]] = []

    def follow(after: int) -> None:
        seen.append([after, *offsets(list(log.follow(after)))])

    threads = [threading.Thread(target=follow, args=(after,)) for after in range(0, 40, 2)]
    for thread in threads:
        thread.start()
    for number in range(3 * READ_BATCH):
        log.append(str(number))
    last = log.append(("done", {}))
    log.close()
    for thread in threads:
        thread.join(20)
    assert sorted(seen) == [list(range(after, last + 1)) for after in range(0, 40, 2)]


def test_a_follower_that_stops_reading_holds_nobody_up() -> None:
    log = EventLog()
    log.append("first")
    slow = log.follow()
    next(slow)
    for number in range(2 * READ_BATCH):
        log.append(str(number))
    log.append(("done", {}))
    log.close()
    assert len(list(log.follow())) == 2 * READ_BATCH + 2
    assert len(list(slow)) == 2 * READ_BATCH + 1


def test_waiting_for_the_end_takes_no_longer_than_asked() -> None:
    log = EventLog()
    assert not log.wait_closed(0)
    log.close()
    assert log.wait_closed(0)


@pytest.mark.parametrize("start", [0, 1, 3])
def test_entries_are_what_the_store_does_not_have(start: int) -> None:
    log = EventLog([(1, "a"), (2, "b")])
    log.append("c")
    assert log.entries(start) == [(1, "a"), (2, "b"), (3, "c")][start:]
