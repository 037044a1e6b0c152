"""Bringing what waits in the outbox to a server: exactly once, and each lane in its order.

What was sent and not heard of is first looked up in the server's history, then sent again with the same id, which
changes nothing where it had arrived. Only what a server showed leaves the outbox.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from orchestrator_core.errors import ApplicationError, TierLost, TierUnreachable
from shared_context.errors import PeerUnreachable, StoreError

from mobile_sync.errors import ConnectionCut, EntryNotFound, NothingReachable
from mobile_sync.outbox import EntryState, Outbox, OutboxEntry

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
"""Statuses whose cause may pass by itself."""

_NOBODY = (NothingReachable, TierUnreachable, PeerUnreachable)

_log = logging.getLogger(__name__)


class Courier(Protocol):
    """What is done with one entry, over the network. Each step may be repeated without harm."""

    def send(self, entry: OutboxEntry) -> None:
        """Have it done, and return when it is.

        Raises:
            NothingReachable: it was not sent.
            ConnectionCut, TierLost: it was sent, and may have been done.
            ApplicationError: the server's answer.
        """

    def is_seen(self, entry: OutboxEntry) -> bool:
        """Whether the server shows it, done.

        Raises:
            NothingReachable, ConnectionCut, ApplicationError: as `send`.
        """


class Delivery:
    """One at a time, from any thread.

    Args:
        under_way: ids of entries that somebody else is sending just now, and will mark.
    """

    def __init__(
        self, outbox: Outbox, courier: Courier, *, under_way: Callable[[], frozenset[str]] = frozenset
    ) -> None:
        self._outbox = outbox
        self._courier = courier
        self._under_way = under_way
        self._lock = threading.Lock()

    def flush(self) -> bool:
        """Go through all lanes once.

        Returns:
            Whether the outbox is empty now.

        Raises:
            StoreError: this device's disk takes nothing; what waits stays.
        """
        with self._lock:
            blocked: set[str] = set()
            for entry in self._outbox.entries():
                if entry.lane in blocked or entry.entry_id in self._under_way():
                    blocked.add(entry.lane)
                    continue
                try:
                    if not self._advanced(entry):
                        blocked.add(entry.lane)
                except _NOBODY as error:
                    _log.info("The outbox waits: %s", error)
                    return False
            return not self._outbox.entries()

    def _advanced(self, entry: OutboxEntry) -> bool:
        """Whether the next entry of its lane may follow.

        Raises:
            NothingReachable, TierUnreachable, PeerUnreachable: no server is there.
        """
        match entry.state:
            case EntryState.REFUSED:
                return False
            case EntryState.ANSWERED:
                self._look(entry)
                return True
            case EntryState.UNCLEAR | EntryState.SENDING:
                return self._look(entry) or self._sent(entry)
            case EntryState.QUEUED:
                return self._sent(entry)

    def _look(self, entry: OutboxEntry) -> bool:
        """Whether a server shows it; then it has left the outbox."""
        try:
            seen = self._courier.is_seen(entry)
        except _NOBODY:
            raise
        except ApplicationError as error:
            _log.info("%s cannot be looked up: %s", entry.entry_id, error)
            return False
        if seen:
            self._outbox.remove(entry.entry_id)
        return seen

    def _sent(self, entry: OutboxEntry) -> bool:
        try:
            with self.sending(entry):
                self._courier.send(self._outbox.get(entry.entry_id))
        except (ConnectionCut, TierLost):
            return False
        except (*_NOBODY, StoreError):
            raise
        except ApplicationError:
            return False
        self._look(self._outbox.get(entry.entry_id))
        return True

    @contextmanager
    def sending(self, entry: OutboxEntry) -> Iterator[None]:
        """What is done in the block sends the entry; how it ends is noted, and raised again."""
        first = entry.state is EntryState.QUEUED
        self._outbox.mark(entry.entry_id, EntryState.SENDING)
        try:
            yield
        except (ConnectionCut, TierLost) as error:
            self._outbox.mark(entry.entry_id, EntryState.UNCLEAR, problem=error.message)
            raise
        except _NOBODY as error:
            # What was sent once may have arrived then.
            state = EntryState.QUEUED if first else EntryState.UNCLEAR
            self._outbox.mark(entry.entry_id, state, problem=error.message)
            raise
        except StoreError as error:
            # A server's, or this device's own: where the disk is full, nothing is noted either.
            with suppress(StoreError):
                self._outbox.mark(entry.entry_id, _after(error, first), problem=error.message)
            raise
        except ApplicationError as error:
            self._outbox.mark(entry.entry_id, _after(error, first), problem=error.message)
            raise
        except GeneratorExit:
            self._outbox.mark(entry.entry_id, EntryState.UNCLEAR, problem="nobody waited for the answer")
            raise
        self._outbox.mark(entry.entry_id, EntryState.ANSWERED)

    def look(self, entry_id: str) -> bool:
        """Whether a server shows this entry, so that it left the outbox; False also when nobody can be asked."""
        try:
            return self._look(self._outbox.get(entry_id))
        except (*_NOBODY, EntryNotFound):
            return False


def _after(error: ApplicationError, first: bool) -> EntryState:
    if error.status not in PASSING:
        return EntryState.REFUSED
    # What a server could not do now was not done; of one in the middle nobody knows.
    return EntryState.QUEUED if first and error.status in (425, 429, 503, 507) else EntryState.UNCLEAR
