"""Server-sent events, as a client reads them (WHATWG HTML, section 9.2.6). `orchestrator_http.sse` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""The last event of a run has the whole answer and its receipt; nothing honest is longer."""

_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventTooLong(ValueError):
    """An event has more than `MAX_EVENT_BYTES`: its sender is not to be trusted."""


class NotAnEvent(ValueError):
    """What came is no line of an event stream."""


class ServerEvent(NamedTuple):
    """
    Args:
        name: of its `event` field; "message" where there is none.
        data: its lines, joined.
        event_id: the last `id` that came with or before it; "" for none.
    """

    name: str
    data: str
    event_id: str = ""


class EventReader:
    """Reads events from bytes that are cut anywhere. Comments and unknown fields are passed over.

    Args:
        strict: the sender is known to write nothing else: what is no field of an event, or not UTF-8, is
            a sign that something else is heard.

    Raises (from `feed` and `end`):
        EventTooLong.
        NotAnEvent: when `strict`.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._line = bytearray()
        self._after_cr = False
        self._begun = False
        self._name = ""
        self._id = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events that are complete with these bytes."""
        if not data:
            return []
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        first, *more = _LINE_END.split(data)
        self._add(first)
        events = []
        for line in more:
            self._size += 1
            events += self._end_line()
            self._add(line)
        return events

    def end(self) -> list[ServerEvent]:
        """A last event whose blank line never came, as some servers leave it."""
        return [*self._end_line(), *self._end_line()]

    def _add(self, part: bytes) -> None:
        self._line += part
        self._size += len(part)
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLong("an event without end")

    def _end_line(self) -> list[ServerEvent]:
        line = self._decoded()
        self._line.clear()
        if not self._begun:
            line = line.removeprefix("\ufeff")
            self._begun = True
        if not line:
            return self._end_event()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._data.append(value)
            case "event":
                self._name = value
            case "id":
                self._id = self._id if "\0" in value else value
            case "" | "retry":
                pass
            case _ if self._strict:
                raise NotAnEvent(f"the field {field[:40]!r}")
        return []

    def _decoded(self) -> str:
        try:
            return self._line.decode("utf-8", "strict" if self._strict else "replace")
        except UnicodeDecodeError:
            raise NotAnEvent("bytes that are no text") from None

    def _end_event(self) -> list[ServerEvent]:
        name, data = self._name, self._data
        self._name, self._data, self._size = "", [], 0
        return [ServerEvent(name or "message", "\n".join(data), self._id)] if data else []


def events_in(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events of a body, as they come. One that is not finished is dropped.

    Raises:
        EventTooLong.
    """
    reader = EventReader()
    for chunk in chunks:
        yield from reader.feed(chunk)
