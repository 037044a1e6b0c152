"""Noticing that a client has left while the desktop is still busy with its answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TICK_S = 1.0

_log = logging.getLogger(__name__)


class Leavers:
    """Asks once a second, in one thread for all, whether clients are still there. Its thread runs only
    while there is somebody to look for."""

    def __init__(self, tick_s: float = TICK_S) -> None:
        self._tick_s = tick_s
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[Callable[[], bool], Callable[[], None]]] = {}
        self._number = 0
        self._running = False

    def begin(self, has_left: Callable[[], bool], leave: Callable[[], None]) -> int:
        """Call `leave` once when `has_left`; returns what `end` wants."""
        with self._lock:
            self._number += 1
            self._watched[self._number] = (has_left, leave)
            if not self._running:
                self._running = True
                threading.Thread(target=self._look, name="leavers", daemon=True).start()
            return self._number

    def end(self, number: int) -> None:
        with self._lock:
            self._watched.pop(number, None)

    @contextmanager
    def during(self, has_left: Callable[[], bool], leave: Callable[[], None]) -> Iterator[None]:
        number = self.begin(has_left, leave)
        try:
            yield
        finally:
            self.end(number)

    def _look(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._tick_s)
            with self._lock:
                if not self._watched:
                    self._running = False
                    return
                watched = dict(self._watched)
            for number, (has_left, leave) in watched.items():
                if has_left():
                    self.end(number)
                    try:
                        leave()
                    except Exception:
                        _log.exception("An answer could not be left")
