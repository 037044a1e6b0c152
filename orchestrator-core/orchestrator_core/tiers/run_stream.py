"""A run's event stream, as another tier sends it (docs/api.md), read from bytes cut anywhere.

Only whole events count: half an event at the end, half a character among the bytes, data that is
no JSON are signs that the other side is lost, not something to be guessed at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from orchestrator_core.errors import TierLost
from orchestrator_core.event_stream import EventReader, EventTooLong, NotAnEvent


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """
    Args:
        name: `token`, `thinking`, `seam`, `done` or `error`.
    """

    name: str
    data: dict[str, Any]


class RunStream:
    """
    Raises (from `feed`):
        TierLost: what came is no event stream of a run.
    """

    def __init__(self) -> None:
        self._reader = EventReader(strict=True)

    def feed(self, data: bytes) -> list[StreamEvent]:
        """The events that are complete with these bytes."""
        try:
            events = self._reader.feed(data)
        except EventTooLong:
            raise TierLost("it sent an event without end") from None
        except NotAnEvent:
            raise TierLost("it sent something that is no answer") from None
        parsed = (_parsed(event.name, event.data) for event in events)
        return [event for event in parsed if event is not None]


def _parsed(name: str, payload: str) -> StreamEvent | None:
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise TierLost("it sent something that is no answer") from error
    if not isinstance(data, dict):
        raise TierLost("it sent something that is no answer")
    if name in ("seam", "error") or (name == "thinking" and isinstance(data.get(name), str)):
        return StreamEvent(name, data)
    if name != "message":
        return None  # of a newer version
    if data.get("done") is True:
        return StreamEvent("done", data)
    if isinstance(data.get("token"), str):
        return StreamEvent("token", data)
    raise TierLost("it sent something that is no answer")
