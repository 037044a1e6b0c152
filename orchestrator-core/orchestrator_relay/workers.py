"""Threads that answer requests: as many as are needed, never more than allowed.

Not `concurrent.futures`: its threads are waited for when the process ends, and a request that
waits for a model would keep it from ending.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

IDLE_S = 30.0
"""After so long without work a thread ends."""

_log = logging.getLogger(__name__)

Task = Callable[[], None]


class Workers:
    """
    Args:
        most: tasks at once.
        name: of the threads.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._lock = threading.Lock()
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._busy = 0
        self._threads = 0

    @property
    def busy(self) -> int:
        return self._busy

    def begin(self, task: Task) -> bool:
        """Run the task in a thread; False, without waiting, when all are busy."""
        with self._lock:
            if self._busy >= self._most:
                return False
            self._busy += 1
            more = self._busy > self._threads
            if more:
                self._threads += 1
        self._tasks.put(task)
        if more:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return True

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except Exception:
                _log.exception("A request that came over the relay failed")
            finally:
                del task
                with self._lock:
                    self._busy -= 1

    def _next(self) -> Task | None:
        try:
            return self._tasks.get(timeout=IDLE_S)
        except Empty:
            with self._lock:
                # A task may have been given to this thread at this very moment.
                if self._threads > self._busy:
                    self._threads -= 1
                    return None
        return self._tasks.get()
