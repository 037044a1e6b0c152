"""Server-sent events from bytes that are cut anywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.event_stream import (
    MAX_EVENT_BYTES,
    EventReader,
    EventTooLong,
    NotAnEvent,
    ServerEvent,
    events_in,
)
from orchestrator_http.sse import comment, frame


def read(*pieces: bytes) -> list[ServerEvent]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)] + reader.end()


@pytest.mark.parametrize(
    "stream",
    [
        b"data: one\n\ndata: two\n\n",
        b"data: one\r\n\r\ndata: two\r\n\r\n",
        b"data: one\r\rdata: two\r\r",
        b"data:one\n\ndata:two\n\n",
        b": ping\n\ndata: one\n\n: ping\n\nretry: 7\nunknown\ndata: two\n\n",
        b"\xef\xbb\xbfdata: one\n\ndata: two",
        b"\n\n\ndata: one\n\n\n\ndata: two\n",
    ],
)
def test_the_same_events_in_any_spelling(stream: bytes) -> None:
    assert [event.data for event in read(stream)] == ["one", "two"]
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == read(stream)


def test_events_have_name_data_and_id() -> None:
    assert read(b'id: 1\ndata: {"token": "a"}\n\nid: 2\nevent: seam\ndata: {}\n\n') == [
        ServerEvent("message", '{"token": "a"}', "1"),
        ServerEvent("seam", "{}", "2"),
    ]


def test_an_id_stays_until_another_one_comes() -> None:
    assert [event.event_id for event in read(b"id: 7\ndata: a\n\ndata: b\n\n")] == ["7", "7"]


def test_an_id_with_a_null_is_none() -> None:
    assert read(b"id: 7\0\ndata: a\n\n") == [ServerEvent("message", "a")]


def test_data_lines_of_one_event_are_joined() -> None:
    assert read(b"data: a\r\ndata:b\r\ndata\r\n\r\n") == [ServerEvent("message", "a\nb\n")]


def test_an_event_without_data_is_none_and_leaves_no_name_behind() -> None:
    assert read(b"event: seam\n\ndata: a\n\n") == [ServerEvent("message", "a")]


def test_an_unfinished_event_is_dropped_unless_its_end_was_told() -> None:
    assert list(events_in([b"data: x\n\ndata: cut", b" off"])) == [ServerEvent("message", "x")]


names = st.sampled_from([None, "seam", "error"])
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n"), max_size=20)
written = st.lists(st.tuples(names, texts, st.integers(0, 9)), max_size=6)


@given(written, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, 400)))
def test_what_the_writer_writes_is_read_however_it_is_cut(
    told: list[tuple[str | None, str, int]], end: bytes, places: list[int]
) -> None:
    stream = b"".join(
        comment("ping") + frame(text, event_id=number, event=name) for name, text, number in told
    ).replace(b"\n", end)
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    assert read(*(stream[a:b] for a, b in itertools.pairwise(edges))) == [
        ServerEvent(name or "message", text, str(number)) for name, text, number in told
    ]


@pytest.mark.parametrize("line", [b"x" * 65_536, b"data: " + b"x" * 65_530, b"data: y\n" * 8192])
def test_an_event_without_end_is_given_up(line: bytes) -> None:
    reader = EventReader()
    with pytest.raises(EventTooLong):
        for _ in range(MAX_EVENT_BYTES // 65_536 + 2):
            reader.feed(line)


@pytest.mark.parametrize("line", [b"data: \xff", b"<html>", b"\0" * 40, b"unknown: x"])
def test_what_is_no_line_of_a_stream_is_refused_when_that_is_wanted(line: bytes) -> None:
    with pytest.raises(NotAnEvent):
        EventReader(strict=True).feed(line + b"\n\n")
    assert [event.data for event in read(line + b"\n\ndata: one\n\n")][-1] == "one"
