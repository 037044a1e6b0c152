"""Waiting for one thing that happens at most once, and may go wrong."""

from __future__ import annotations

import threading


class Waiter:
    """An event with an outcome; the first outcome stays."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self.error: Exception | None = None

    def done(self, error: Exception | None = None) -> None:
        with self._lock:
            if not self._event.is_set():
                self.error = error
                self._event.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether it happened within `timeout_s` seconds."""
        return self._event.wait(timeout_s)
