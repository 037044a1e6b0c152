"""A run's event stream, as another tier sends it (docs/api.md), read from bytes cut anywhere.

Only whole events count: half an event at the end, half a character among the bytes, a line that is
no JSON are signs that the other side is lost, not something to be guessed at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from orchestrator_core.errors import TierLost

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""The last event has the whole answer and its receipt; nothing honest is longer."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """
    Args:
        name: `token`, `seam`, `done` or `error`.
    """

    name: str
    data: dict[str, Any]


class RunStream:
    """
    Raises (from `feed`):
        TierLost: what came is no event stream of a run.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[StreamEvent]:
        """The events that are complete with these bytes."""
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            raise TierLost("it sent an event without end")
        found = (_event(block) for block in whole)
        return [event for event in found if event is not None]


def _event(block: bytes) -> StreamEvent | None:
    """None for a comment."""
    name, payload = "", None
    for line in block.split(b"\n"):
        field, _, value = line.rstrip(b"\r").partition(b":")
        if field == b"data":
            payload = value.removeprefix(b" ")
        elif field == b"event":
            name = value.strip().decode("ascii", "replace")
        elif field not in (b"", b"id", b"retry"):
            raise TierLost("it sent something that is no answer")
    return None if payload is None else _parsed(name, payload)


def _parsed(name: str, payload: bytes) -> StreamEvent | None:
    try:
        data = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TierLost("it sent something that is no answer") from error
    if not isinstance(data, dict):
        raise TierLost("it sent something that is no answer")
    if name in ("seam", "error"):
        return StreamEvent(name, data)
    if name:
        return None  # of a newer version
    if data.get("done") is True:
        return StreamEvent("done", data)
    if isinstance(data.get("token"), str):
        return StreamEvent("token", data)
    raise TierLost("it sent something that is no answer")
