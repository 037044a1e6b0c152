"""A run's event stream, as another tier sends it (docs/api.md), read from bytes cut anywhere.

Only whole events count: half an event at the end, half a character among the bytes, data that is
no JSON are signs that the other side is lost, not something to be guessed at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from orchestrator_core.errors import TierLost
from orchestrator_core.event_stream import EventReader, EventTooLong, NotAnEvent, ServerEvent


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """
    Args:
        name: `token`, `thinking`, `seam`, `done` or `error`.
        offset: of the event in its run; None: the stream did not say.
    """

    name: str
    data: dict[str, Any]
    offset: int | None = None


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
        parsed = (_parsed(event) for event in events)
        return [event for event in parsed if event is not None]


def _parsed(event: ServerEvent) -> StreamEvent | None:
    name, offset = event.name, int(event.event_id) if event.event_id.isdecimal() else None
    if name not in ("message", "thinking", "seam", "error"):
        return None  # a signature, or of a newer version
    try:
        data = json.loads(event.data)
    except (ValueError, RecursionError) as error:
        raise TierLost("it sent something that is no answer") from error
    if not isinstance(data, dict):
        raise TierLost("it sent something that is no answer")
    if name in ("seam", "error") or (name == "thinking" and isinstance(data.get(name), str)):
        return StreamEvent(name, data, offset)
    if name != "message":
        return None
    if data.get("done") is True:
        return StreamEvent("done", data, offset)
    if isinstance(data.get("token"), str):
        return StreamEvent("token", data, offset)
    raise TierLost("it sent something that is no answer")
