"""The thread that sends what the reader of a connection has to answer, at once, and the heartbeat."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from orchestrator_relay.errors import BadFrame, SocketClosed
from orchestrator_relay.outbox import SendQueue


class Keeper:
    """Safe from any thread.

    Args:
        heartbeat_s: seconds between pings.
        over: set when the connection has ended; `wake` is to be called then.
        failed: called with why nothing can be sent any more, until `over` is set.
        name: of the thread.
    """

    def __init__(
        self,
        outbox: SendQueue,
        heartbeat_s: float,
        *,
        over: threading.Event,
        failed: Callable[[str], None],
        name: str,
    ) -> None:
        self._outbox = outbox
        self._heartbeat_s = heartbeat_s
        self._over = over
        self._failed = failed
        self._changed = threading.Condition(threading.Lock())
        self._due = 0.0
        self._sent = 0
        self._answered = 0
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def wake(self) -> None:
        """There is something to be sent, or the connection has ended. Does not wait."""
        with self._changed:
            self._changed.notify_all()

    def tell_status(self) -> None:
        """Send a ping now instead of at the next heartbeat. Does not wait."""
        with self._changed:
            self._due = 0.0
            self._changed.notify_all()

    def ping(self, timeout_s: float) -> bool:
        """Whether the other side answers a ping that is sent from now on within `timeout_s` seconds."""
        with self._changed:
            wanted = self._sent + 1
            self._due = 0.0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answered >= wanted or self._over.is_set(), timeout_s)
            return self._answered >= wanted and not self._over.is_set()

    def take_pong(self, number: int) -> None:
        """
        Raises:
            BadFrame: no such ping was sent.
        """
        with self._changed:
            if number > self._sent:
                raise BadFrame(f"a PONG to the ping {number}, which was never sent")
            self._answered = max(self._answered, number)
            self._changed.notify_all()

    def _keep(self) -> None:
        while not self._over.is_set():
            with self._changed:
                self._changed.wait_for(self._wanted, max(0.0, self._due - time.monotonic()))
            try:
                self._outbox.send_owed()
                if time.monotonic() >= self._due:
                    self._outbox.ping(self._next_number())
            except SocketClosed as error:
                self._failed(error.message)

    def _wanted(self) -> bool:
        return self._outbox.owing or self._over.is_set() or self._due <= time.monotonic()

    def _next_number(self) -> int:
        with self._changed:
            self._due = time.monotonic() + self._heartbeat_s
            self._sent += 1
            return self._sent
