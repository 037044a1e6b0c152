"""Telling others that a replica has something new, without keeping a queue for anybody.

A notice says only that something changed: however much happened while somebody was slow, one
notice is enough, and the next exchange brings it all.
"""

from __future__ import annotations

import threading

from shared_context.exchange.replica import Replica


class ChangeFeed:
    """Counts the changes of a replica from now on. Safe to use from any thread."""

    def __init__(self, replica: Replica) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._stops = [replica.conversations.database.on_commit(self._count_one)]
        if replica.documents is not None:
            self._stops.append(replica.documents.on_change(self._count_one))

    @property
    def count(self) -> int:
        return self._count

    def wait(self, seen: int, timeout: float) -> int:
        """Wait until the count is above `seen`, at most `timeout` seconds; returns the count."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > seen, timeout)
            return self._count

    def close(self) -> None:
        for stop in self._stops:
            stop()

    def _count_one(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()
