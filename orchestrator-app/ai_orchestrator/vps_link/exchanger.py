"""Keeps this desktop's memory and the VPS's equal while they are connected.

An exchange is due when a connection begins, when this memory changed, and when the VPS says that its
own did. Each notice is answered, once the exchange that began after it is done, so that the
VPS knows what the desktop has read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from orchestrator_relay.connection import RelayConnection
from orchestrator_relay.errors import SocketClosed
from orchestrator_relay.heads import Welcome
from shared_context.errors import SharedContextError
from shared_context.exchange.replica import Replica
from shared_context.exchange.sync_client import SyncClient

from ai_orchestrator.vps_link.backoff import Backoff

DEBOUNCE_S = 0.03
"""What is written within so many seconds goes along in one exchange. A notice does not wait: at the
VPS somebody's question does."""

REST = 4.0
"""After an exchange there is a pause of so many times its duration: however much is written, a fifth of
one core is the most that exchanging takes from answering."""

MAX_REST_S = 0.25

MAX_NOTICES = 64
"""Answered one by one; of more than these the latest."""

_log = logging.getLogger(__name__)


class Exchanger:
    """A `Partner` of the dialler; one thread while there is a connection.

    Args:
        client: makes a client of the VPS for one connection; closed by the exchanger.
        on_ready: called with True when the first exchange of a connection is done, and the first after
            failed ones; with False, and why, when an exchange fails; with False when the connection is gone.
    """

    def __init__(
        self,
        replica: Replica,
        client: Callable[[], SyncClient],
        on_ready: Callable[[bool, str], None] = lambda ready, why: None,
    ) -> None:
        self._replica = replica
        self._client = client
        self._on_ready = on_ready
        self._session: _Session | None = None

    @property
    def ready(self) -> bool:
        """Whether the memories were exchanged on the present connection."""
        session = self._session
        return session is not None and session.ready

    def connected(self, connection: RelayConnection, welcome: Welcome) -> None:
        if welcome.role != "source":
            # An extra desktop lends its model; its own memory is not this household's.
            self._session = _Session.already_ready()
            self._on_ready(True, "")
            return
        self._session = _Session()
        threading.Thread(
            target=self._keep, args=(connection, self._session), name="vps-exchanger", daemon=True
        ).start()

    def disconnected(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.end()
        self._on_ready(False, "")

    def noticed(self, digest: str) -> None:
        session = self._session
        if session is not None:
            session.notice(digest)

    def _keep(self, connection: RelayConnection, session: _Session) -> None:
        stops = [self._replica.conversations.database.on_commit(session.changed)]
        if self._replica.documents is not None:
            stops.append(self._replica.documents.on_change(session.changed))
        try:
            with self._client() as client:
                session.client = client
                self._loop(connection, session, client)
        except SocketClosed:
            return
        except Exception:
            _log.exception("Keeping the memory equal with the VPS's ended")
            connection.close()
        finally:
            for stop in stops:
                stop()

    def _loop(self, connection: RelayConnection, session: _Session, client: SyncClient) -> None:
        backoff = Backoff()
        exchanged = ""
        while session.wait_for_work(DEBOUNCE_S):
            notices = session.take_notices()
            mine = self._replica.state().digest
            if mine != exchanged or any(notice != mine for notice in notices):
                began = time.monotonic()
                try:
                    report = client.exchange()
                except SharedContextError as error:
                    if not session.ended:
                        _log.warning("The exchange with the VPS failed: %s", error.message)
                        session.failing = True
                        self._on_ready(False, error.message)
                        session.put_back(notices)
                        session.pause(backoff.next_s())
                    continue
                now_here = self._replica.state().digest
                # What one side could not take in, for a full disk perhaps, is tried again without a change.
                exchanged = now_here if report.complete else ""
                session.look_again_s = None if report.complete else backoff.slow_s()
                notices.append(now_here)
                backoff.reset()
                rest_s = min(MAX_REST_S, REST * (time.monotonic() - began))
            else:
                rest_s = 0.0
            for notice in dict.fromkeys(notices):
                connection.synced(notice)
            if not session.ready or session.failing:
                session.ready, session.failing = True, False
                self._on_ready(True, "")
            session.pause(rest_s)


class _Session:
    """What is to be done on one connection."""

    def __init__(self) -> None:
        self.ready = False
        self.failing = False
        self.ended = False
        self.client: SyncClient | None = None
        self.look_again_s: float | None = None
        self._notices: deque[str] = deque(maxlen=MAX_NOTICES)
        self._due = True
        self._wake = threading.Condition()

    @classmethod
    def already_ready(cls) -> _Session:
        session = cls()
        session.ready = True
        return session

    def changed(self) -> None:
        with self._wake:
            self._due = True
            self._wake.notify_all()

    def notice(self, digest: str) -> None:
        with self._wake:
            self._notices.append(digest)
            self._wake.notify_all()

    def put_back(self, notices: list[str]) -> None:
        with self._wake:
            self._notices.extendleft(reversed(notices))
            self._due = True

    def take_notices(self) -> list[str]:
        with self._wake:
            self._due = False
            taken = list(dict.fromkeys(self._notices))
            self._notices.clear()
            return taken

    def wait_for_work(self, debounce_s: float) -> bool:
        """False when the connection has ended."""
        with self._wake:
            self._wake.wait_for(lambda: self._due or self._notices or self.ended, self.look_again_s)
            if self.ready and not self._notices and not self.ended:
                self._wake.wait_for(lambda: self._notices or self.ended, debounce_s)
            return not self.ended

    def pause(self, seconds: float) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self.ended, seconds)

    def end(self) -> None:
        with self._wake:
            self.ended = True
            self._wake.notify_all()
        client = self.client
        if client is not None:
            with suppress(Exception):
                client.close()
