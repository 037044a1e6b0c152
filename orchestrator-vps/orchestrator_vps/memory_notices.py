"""Which states of this tier's memory a connected desktop was told of, and which of them it has taken in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from orchestrator_relay.errors import SocketClosed

MAX_UNANSWERED = 256
"""Numbers of notices that wait for their answers; a desktop that answers none is told all the same."""


class MemoryNotices:
    """Of one connection; safe from any thread. A desktop answers in order, so one answer answers all notices before
    it too.

    Args:
        send: sends the digest of a state; raises SocketClosed when the connection has ended.
    """

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._told = ""
        self._synced = ""
        self._unanswered: dict[str, int] = {}
        self._last = self._taken_in = 0
        self._gave_up_on = ""
        self._ended = False

    @property
    def begun(self) -> bool:
        return bool(self._told)

    def tell(self, digest: str) -> int:
        """Tell the desktop of this state, unless it was told of it last; returns the number of that notice."""
        with self._sending:
            if self._told == digest:
                return self._last
            with self._changed:
                self._last += 1
                self._told = digest
                self._unanswered[digest] = self._last
                if len(self._unanswered) > MAX_UNANSWERED:
                    del self._unanswered[min(self._unanswered, key=self._unanswered.__getitem__)]
            with suppress(SocketClosed):
                self._send(digest)
            return self._last

    def answered(self, digest: str) -> None:
        """The desktop says that it has taken this state in."""
        with self._changed:
            self._synced = digest
            self._taken_in = max(self._taken_in, self._unanswered.get(digest, 0))
            self._unanswered = {
                state: number for state, number in self._unanswered.items() if number > self._taken_in
            }
            self._changed.notify_all()

    def settle(self, digest: str, timeout_s: float) -> bool:
        """Have the desktop take this state in; returns whether it has, before the time was over."""
        if self._synced == digest:
            return True
        # Not until `_synced` is this digest: while others write, it may never be seen to be.
        number = self.tell(digest)
        with self._changed:
            self._changed.wait_for(lambda: self._taken_in >= number or self._ended, timeout_s)
        return self._taken_in >= number

    def catch_up(self, digest: str, timeout_s: float) -> None:
        """`settle`, once for each state: a desktop that cannot exchange does not hold up every request."""
        if digest not in (self._synced, self._gave_up_on) and not self.settle(digest, timeout_s):
            self._gave_up_on = digest

    def end(self) -> None:
        """The connection has ended: nothing more is answered."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
