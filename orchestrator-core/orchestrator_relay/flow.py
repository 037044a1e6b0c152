"""How many bytes of a stream may be under way: a window of credit per stream and direction.

The receiver gives credit back only for what was read, so a stream nobody reads stops after
`WINDOW` bytes, and the connection, with all others on it, goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from orchestrator_relay.errors import BadFrame

WINDOW = 256 * 1024
"""Bytes that may be sent before credit comes. At 16 KiB per frame and 100 ms there and back that
is about 20 Mbit/s for one stream: a home uplink."""

GRANT = WINDOW // 4
"""Credit is given back in pieces of at least this many bytes: one frame per 4 chunks, and the
sender has never less than three quarters of the window to go on with."""


class Outflow:
    """The sending end: says how much may be sent now. Safe from any thread."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._credit = window
        self._ended: Exception | None = None
        self._changed = threading.Condition(threading.Lock())

    def take(self, wanted: int, timeout_s: float | None = None) -> int:
        """Wait for credit; returns how many bytes, 1 to `wanted`, may be sent with it.

        Raises:
            TimeoutError: none came within `timeout_s` seconds.
            Exception: the one given to `end`.
        """
        with self._changed:
            while self._credit == 0 and self._ended is None:
                if not self._changed.wait(timeout_s):
                    raise TimeoutError("The other side does not read.")
            if self._ended is not None:
                raise self._ended
            granted = min(wanted, self._credit)
            self._credit -= granted
            return granted

    def add(self, count: int) -> None:
        """
        Raises:
            BadFrame: more than was ever taken.
        """
        with self._changed:
            if self._credit + count > self._window:
                raise BadFrame(f"a credit of {count} bytes, more than were sent")
            self._credit += count
            self._changed.notify()

    def end(self, error: Exception) -> None:
        """Whoever waits in `take`, or comes later, gets this error; the first one stays."""
        with self._changed:
            self._ended = self._ended or error
            self._changed.notify_all()


class Inflow:
    """The receiving end: at most `window` bytes that came and were not read. Safe from any thread.

    Args:
        grant: called, outside of any lock, with the number of bytes that may come again.
    """

    def __init__(self, grant: Callable[[int], None], window: int = WINDOW) -> None:
        self._grant = grant
        self._window = window
        self._step = max(1, window // (WINDOW // GRANT))
        self._buffer = bytearray()
        self._uncredited = 0
        self._owed = 0
        self._ended = False
        self._error: Exception | None = None
        self._changed = threading.Condition(threading.Lock())

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    @property
    def ended(self) -> bool:
        """No more will come; there may be something left to read."""
        return self._ended

    def put(self, data: bytes) -> None:
        """What comes after the end is dropped.

        Raises:
            BadFrame: more than there was credit for.
        """
        with self._changed:
            if self._ended:
                return
            if self._uncredited + len(data) > self._window:
                raise BadFrame(f"more than {self._window} bytes on a stream without credit for them")
            self._uncredited += len(data)
            self._buffer += data
            self._changed.notify()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more comes. The first end stays.

        Args:
            error: raised by `read` behind what had come before.
        """
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    def drop(self) -> None:
        """Nobody will read any more: forget what came."""
        with self._changed:
            self._ended = True
            self._error = None
            self._buffer.clear()
            self._changed.notify_all()

    def read(self, limit: int | None = None) -> bytes:
        """Wait for bytes: all that came, at most `limit`; b"" at the end.

        Raises:
            Exception: the one given to `end`.
        """
        with self._changed:
            while not self._buffer and not self._ended:
                self._changed.wait()
            if not self._buffer:
                if self._error is not None:
                    raise self._error
                return b""
            data = self._taken(limit)
            credit = self._credit_for(len(data))
        if credit:
            self._grant(credit)
        return data

    def _taken(self, limit: int | None) -> bytes:
        if limit is None or limit >= len(self._buffer):
            data = bytes(self._buffer)
            self._buffer.clear()
        else:
            data = bytes(memoryview(self._buffer)[:limit])
            del self._buffer[:limit]
        return data

    def _credit_for(self, count: int) -> int:
        self._owed += count
        if self._owed < self._step or self._ended:
            return 0
        credit, self._owed = self._owed, 0
        self._uncredited -= credit
        return credit
