"""Another tier's event stream, from bytes that are cut anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.errors import TierLost
from orchestrator_core.event_stream import MAX_EVENT_BYTES
from orchestrator_core.tiers.run_stream import RunStream, StreamEvent
from orchestrator_http.sse import frame

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
events = st.one_of(
    st.builds(lambda text: ("token", {"token": text}), texts),
    st.builds(lambda reason: ("seam", {"tier": "vps", "model": "m", "reason": reason}), texts),
    st.builds(lambda text: ("done", {"done": True, "response": text}), texts),
    st.builds(lambda text: ("error", {"error": {"message": text}}), texts),
)


def sent(told: list[tuple[str, dict[str, Any]]]) -> bytes:
    """As the server sends them, with the comments it puts between."""
    parts = [b": run r1\n\n"]
    for number, (name, data) in enumerate(told, 1):
        parts.append(frame(data, event_id=number, event=name if name in ("seam", "error") else None))
        if number % 3 == 0:
            parts.append(b": ping\n\n")
    return b"".join(parts)


@given(st.lists(events, max_size=8), st.lists(st.integers(1, 9), min_size=1, max_size=50))
def test_however_it_is_cut_the_events_are_those_that_were_sent(
    told: list[tuple[str, dict[str, Any]]], pieces: list[int]
) -> None:
    stream, data, found = RunStream(), sent(told), []
    while data:
        size = pieces[len(data) % len(pieces)]
        found += stream.feed(data[:size])
        data = data[size:]
    assert found == [StreamEvent(name, fields, offset) for offset, (name, fields) in enumerate(told, 1)]


@given(st.binary(max_size=200))
def test_anything_else_is_a_loss_and_never_another_error(data: bytes) -> None:
    try:
        found = RunStream().feed(data + b"\n\n")
    except TierLost:
        return
    assert all(event.name in ("token", "seam", "done", "error") for event in found)


def test_half_an_event_is_none() -> None:
    stream = RunStream()
    assert stream.feed(b'data: {"token": "whole"}\n\ndata: {"token": "hal') == [
        StreamEvent("token", {"token": "whole"})
    ]
    assert stream.feed(b'f"}\n') == []
    assert stream.feed(b"\n") == [StreamEvent("token", {"token": "half"})]


def test_what_a_newer_version_says_besides_is_passed_over() -> None:
    assert RunStream().feed(b'event: progress\ndata: {"part": 3}\n\n') == []
    assert RunStream().feed(b"event: signature\ndata: no json 7 x\n\n") == []


def test_an_event_without_end_is_not_waited_for() -> None:
    stream = RunStream()
    with pytest.raises(TierLost, match="without end"):
        for _ in range(MAX_EVENT_BYTES // 65_536 + 2):
            stream.feed(b"x" * 65_536)


@pytest.mark.parametrize("payload", ["[1]", "7", '"text"', "{}", '{"token": 1}', '{"done": false}', "{"])
def test_an_event_that_says_nothing_of_a_run_is_a_loss(payload: str) -> None:
    with pytest.raises(TierLost):
        RunStream().feed(f"data: {payload}\n\n".encode())


def test_a_line_break_inside_json_does_not_end_an_event() -> None:
    data = json.dumps({"token": "two\nlines"})
    assert RunStream().feed(f"data: {data}\n\n".encode())[0].data == {"token": "two\nlines"}
