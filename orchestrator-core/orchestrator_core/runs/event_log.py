"""One run's events in memory: written by one thread, followed by any number of others.

A slow follower costs nothing: it holds no queue, only its offset. Tokens are kept as bare
strings; the size is bounded by `MAX_EVENTS`.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator_core.runs.spec import EventKind, RunEvent

MAX_EVENTS = 262_144
"""Twice the longest window of today's local models (131,072 tokens). Also the size of each
process's own range of offsets: none can show more, so those of two processes never meet."""

READ_BATCH = 256
"""Events copied per hold of the lock, so that a follower far behind does not delay the writer."""

Entry = str | tuple[EventKind, dict[str, Any]]
"""A token's text, or any other event."""


class EventLog:
    def __init__(self, events: Iterable[tuple[int, Entry]] = ()) -> None:
        self._changed = threading.Condition()
        self._offsets = array("q")
        self._entries: list[Entry] = []
        self._closed = False
        self._base = 0
        self._followers = 0
        self._end_seen = False
        for offset, entry in events:
            self._offsets.append(offset)
            self._entries.append(entry)

    def append(self, entry: Entry) -> int:
        """Add an event; returns its offset."""
        with self._changed:
            offset = max(self._last(), self._base) + 1
            self._offsets.append(offset)
            self._entries.append(entry)
            self._changed.notify_all()
            return offset

    def leap(self, processes: int) -> int:
        """Go on in the range of offsets of the next process, so that no offset that a lost one
        may have shown, flushed or not, is used again.

        Args:
            processes: how many have worked on this run before.

        Returns:
            the last offset that is still valid.
        """
        with self._changed:
            self._base = processes * MAX_EVENTS
            return self._last()

    def close(self) -> None:
        """Nothing follows; followers end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_closed(self, timeout: float | None = None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, timeout)

    @property
    def closed(self) -> bool:
        with self._changed:
            return self._closed

    @property
    def followed(self) -> bool:
        """Whether somebody follows it now."""
        with self._changed:
            return self._followers > 0

    @property
    def end_seen(self) -> bool:
        """Whether a client has the end, as far as one can know: see `mark_end_seen`."""
        with self._changed:
            return self._end_seen

    def mark_end_seen(self) -> None:
        """Said by who passes the end on to a client that is there. Nothing while there is no end."""
        with self._changed:
            self._end_seen = self._end_seen or self._closed

    @property
    def last_offset(self) -> int:
        with self._changed:
            return self._last()

    @property
    def text(self) -> str:
        """All tokens joined."""
        with self._changed:
            entries = self._entries[:]
        return "".join(entry for entry in entries if isinstance(entry, str))

    @property
    def thoughts(self) -> str:
        with self._changed:
            entries = self._entries[:]
        events = (entry for entry in entries if not isinstance(entry, str))
        return "".join(data["thinking"] for kind, data in events if kind == "thinking")

    def count_tokens(self) -> int:
        with self._changed:
            return sum(isinstance(entry, str) for entry in self._entries)

    def seams(self) -> list[tuple[int, int, dict[str, Any]]]:
        """(offset, characters of text before it, data) of every seam."""
        with self._changed:
            seams, characters = [], 0
            for offset, entry in zip(self._offsets, self._entries, strict=True):
                if isinstance(entry, str):
                    characters += len(entry)
                elif entry[0] == "seam":
                    seams.append((offset, characters, entry[1]))
            return seams

    def __len__(self) -> int:
        with self._changed:
            return len(self._entries)

    def entries(self, start: int) -> list[tuple[int, Entry]]:
        """(offset, entry) from the `start`-th event on, for the store."""
        with self._changed:
            return list(zip(self._offsets[start:], self._entries[start:], strict=True))

    def follow(self, after: int = 0, timeout: float | None = None) -> Iterator[RunEvent | None]:
        """Events with an offset above `after`, as they come; see `Run.events`."""
        with self._changed:
            self._followers += 1
        try:
            yield from self._follow(after, timeout)
        finally:
            with self._changed:
                self._followers -= 1

    def _follow(self, after: int, timeout: float | None) -> Iterator[RunEvent | None]:
        while True:
            batch, closed = self._next(after, timeout)
            for event in batch:
                yield event
                after = event.offset
                if event.final:
                    return
            if batch:
                continue
            if closed:
                final = self._final()
                if final is not None and after > final.offset:
                    yield final
                return
            yield None

    def _next(self, after: int, timeout: float | None) -> tuple[list[RunEvent], bool]:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._last() > after, timeout)
            start = bisect_right(self._offsets, after)
            stop = min(start + READ_BATCH, len(self._entries))
            return [self._event(index) for index in range(start, stop)], self._closed

    def _final(self) -> RunEvent | None:
        with self._changed:
            event = self._event(len(self._entries) - 1) if self._entries else None
        return event if event is not None and event.final else None

    def _event(self, index: int) -> RunEvent:
        entry = self._entries[index]
        if isinstance(entry, str):
            return RunEvent(self._offsets[index], "token", {"token": entry})
        kind, data = entry
        return RunEvent(self._offsets[index], kind, data)

    def _last(self) -> int:
        return self._offsets[-1] if self._offsets else 0
