"""Keeps what the next prompt begins with warm, so that nobody waits for a document that changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

QUIET_S = 0.3
"""An editor that saves twice, or a sync that writes four files, causes one prewarming."""
JOIN_S = 5.0


class Prewarmer:
    """Calls `warm` in a thread of its own, once at the start and soon after each `changed`.

    Args:
        warm: may take long and may fail; a failure is logged and the next change tries again.
        quiet_s: how long changes must have stopped before it is called.
        name: of the thread.
    """

    def __init__(self, warm: Callable[[], None], quiet_s: float = QUIET_S, *, name: str = "prewarm") -> None:
        self._warm = warm
        self._quiet_s = quiet_s
        self._wake = threading.Condition()
        self._wanted = True
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def changed(self) -> None:
        """The next prompt begins differently: another document, another turn. Returns at once."""
        with self._wake:
            self._wanted = True
            self._wake.notify_all()

    def stop(self) -> None:
        """Begin nothing more; returns at once."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()

    def close(self, timeout: float = JOIN_S) -> None:
        """`stop`, and wait up to `timeout` seconds for a warming that is under way. Idempotent."""
        self.stop()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _work(self) -> None:
        first = True
        while self._wait(0.0 if first else self._quiet_s):
            first = False
            try:
                self._warm()
            except Exception as error:
                log.info("Nothing was read ahead: %s", error)

    def _wait(self, quiet_s: float) -> bool:
        """Blocks until there was a change and then silence; False when closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._wanted or self._closed)
            while self._wanted and not self._closed:
                self._wanted = False
                if quiet_s:
                    self._wake.wait_for(lambda: self._wanted or self._closed, quiet_s)
            return not self._closed
