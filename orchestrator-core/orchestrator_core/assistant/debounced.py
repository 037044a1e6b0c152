"""Work that follows changes, in the background: once for all that come close together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

QUIET_S = 0.3
"""An editor that saves twice, or a sync that writes four files, makes work once."""
JOIN_S = 5.0


class Debounced:
    """Calls `work` in a thread of its own, once at the start and soon after each `changed`.

    Args:
        work: may take long and may fail; a failure is logged and the next change tries again.
        name: of the thread, and of the work in the log.
        quiet_s: how long changes must have stopped before it is called.
    """

    def __init__(self, work: Callable[[], None], name: str, quiet_s: float = QUIET_S) -> None:
        self._work = work
        self._name = name
        self._quiet_s = quiet_s
        self._wake = threading.Condition()
        self._wanted = True
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def changed(self) -> None:
        """There is work to do again. Returns at once."""
        with self._wake:
            self._wanted = True
            self._wake.notify_all()

    def stop(self) -> None:
        """Begin nothing more; returns at once."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()

    def close(self, timeout: float = JOIN_S) -> None:
        """`stop`, and wait up to `timeout` seconds for work that is under way. Idempotent."""
        self.stop()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        first = True
        while self._wait(0.0 if first else self._quiet_s):
            first = False
            try:
                self._work()
            except Exception as error:
                log.info("The %s waits for the next change: %s", self._name, error)

    def _wait(self, quiet_s: float) -> bool:
        """Blocks until there was a change and then silence; False when closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._wanted or self._closed)
            while self._wanted and not self._closed:
                self._wanted = False
                if quiet_s:
                    self._wake.wait_for(lambda: self._wanted or self._closed, quiet_s)
            return not self._closed
