"""A relayed stream that breaks off ends with an error that its client understands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from orchestrator_core.errors import TierLost
from orchestrator_vps.relaying import _whole_events


class Broken:
    def __init__(self, kind: str, *parts: bytes) -> None:
        self.headers = {"content-type": kind}
        self._parts = parts

    def chunks(self) -> Iterator[bytes]:
        yield from self._parts
        raise TierLost("The cable was pulled.")


@pytest.mark.parametrize("parts", [(b'{"a": 1}\n{"b"', b": 2}\n", b'{"half'), (b'{"a": 1}\n{"b": 2}\n',)])
def test_lines_of_json_end_with_a_line_that_is_an_error(parts: tuple[bytes, ...]) -> None:
    answer: Any = Broken("application/x-ndjson", *parts)
    lines = [json.loads(line) for line in b"".join(_whole_events(answer, "/api/chat")).splitlines()]
    assert lines[:2] == [{"a": 1}, {"b": 2}]
    assert len(lines) == 3 and "lost" in lines[2]["error"]


def test_events_end_with_an_event_that_is_one() -> None:
    answer: Any = Broken("text/event-stream; charset=utf-8", b"data: 1\n\ndata: ha")
    whole, last, _ = b"".join(_whole_events(answer, "/chat/stream")).split(b"\n\n")
    assert whole == b"data: 1" and last.startswith(b"event: error\n")
