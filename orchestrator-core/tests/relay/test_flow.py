"""Credit: whatever the speeds, no more than the window is under way, and everything arrives."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_relay.errors import BadFrame
from orchestrator_relay.flow import Inflow, Outflow

SIZES = st.lists(st.integers(1, 400), max_size=60)


@given(SIZES, st.lists(st.integers(1, 400), min_size=1, max_size=30), st.integers(8, 300))
def test_all_arrives_in_order_and_never_more_than_the_window_waits(
    writes: list[int], reads: list[int], window: int
) -> None:
    """One thread plays both ends: it sends when it may, else it reads as much as it likes."""
    outflow = Outflow(window)
    inflow = Inflow(outflow.add, window)
    pending = bytearray(number % 251 for number in range(sum(writes)))
    expected, got, turn = bytes(pending), b"", 0
    in_flight = 0
    while pending or in_flight:
        if pending and outflow._credit:
            count = outflow.take(min(len(pending), writes[turn % len(writes)]))
            inflow.put(bytes(pending[:count]))
            del pending[:count]
            in_flight += count
        else:
            data = inflow.read(reads[turn % len(reads)])
            got += data
            in_flight -= len(data)
        assert inflow.buffered <= window
        turn += 1
    assert got == expected


@settings(max_examples=25, deadline=None)
@given(SIZES, st.integers(1, 300), st.integers(16, 200))
def test_two_threads_never_get_stuck(writes: list[int], read_size: int, window: int) -> None:
    outflow = Outflow(window)
    inflow = Inflow(outflow.add, window)
    data = bytes(number % 251 for number in range(sum(writes)))

    def send() -> None:
        rest = data
        for size in writes:
            piece, rest = rest[:size], rest[size:]
            while piece:
                count = outflow.take(len(piece), timeout_s=20)
                inflow.put(piece[:count])
                piece = piece[count:]
        inflow.end()

    sender = threading.Thread(target=send)
    sender.start()
    got = b""
    while part := inflow.read(read_size):
        got += part
    sender.join()
    assert got == data


def test_more_than_the_credit_is_a_violation() -> None:
    inflow = Inflow(lambda count: None, window=10)
    inflow.put(b"12345678")
    with pytest.raises(BadFrame, match="without credit"):
        inflow.put(b"901")


def test_what_was_read_counts_until_its_credit_was_given() -> None:
    granted: list[int] = []
    inflow = Inflow(granted.append, window=100)
    inflow.put(b"x" * 100)
    inflow.read(24)
    with pytest.raises(BadFrame):
        inflow.put(b"x")
    inflow.read(1)
    assert granted == [25]
    inflow.put(b"x" * 25)


def test_more_credit_than_was_taken_is_a_violation() -> None:
    outflow = Outflow(100)
    outflow.take(40)
    outflow.add(40)
    with pytest.raises(BadFrame, match="more than were sent"):
        outflow.add(1)


def test_the_end_wakes_both_sides() -> None:
    outflow, inflow = Outflow(1), Inflow(lambda count: None)
    outflow.take(1)
    seen: list[object] = []

    def wait_for_credit() -> None:
        try:
            outflow.take(1)
        except KeyError as error:
            seen.append(error)

    threads = [
        threading.Thread(target=wait_for_credit),
        threading.Thread(target=lambda: seen.append(inflow.read())),
    ]
    for thread in threads:
        thread.start()
    outflow.end(KeyError("gone"))
    inflow.end()
    for thread in threads:
        thread.join(10)
    assert b"" in seen
    assert len(seen) == 2


def test_an_error_comes_behind_what_had_come_before() -> None:
    inflow = Inflow(lambda count: None)
    inflow.put(b"half")
    inflow.end(ValueError("broken"))
    inflow.end()
    assert inflow.read() == b"half"
    with pytest.raises(ValueError, match="broken"):
        inflow.read()


def test_nothing_is_kept_for_nobody() -> None:
    inflow = Inflow(lambda count: None, window=10)
    inflow.put(b"12345")
    inflow.drop()
    inflow.put(b"1234567890123")
    assert (inflow.buffered, inflow.read()) == (0, b"")


def test_waiting_for_credit_has_an_end() -> None:
    outflow = Outflow(1)
    outflow.take(1)
    with pytest.raises(TimeoutError):
        outflow.take(1, timeout_s=0.01)
