"""Keeps one connection to the VPS, for ever: dial, greet, serve, and dial again when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from orchestrator_core.settings import RelaySettings
from orchestrator_relay import heads
from orchestrator_relay.connection import Ending, RelayConnection
from orchestrator_relay.dial import dial
from orchestrator_relay.errors import CertificateRejected, DialRefused, GreetingRefused, RelayError
from orchestrator_relay.greeting import introduce
from orchestrator_relay.heads import Hello, Status, Welcome
from orchestrator_relay.identity.pinning import context_for
from orchestrator_relay.server_stream import Serve

from ai_orchestrator.vps_link.backoff import Backoff
from ai_orchestrator.vps_link.credentials import VpsCredential
from ai_orchestrator.vps_link.link_state import LinkStateFile

_CERTIFICATE, _UNKNOWN = CertificateRejected.code, "unauthorized"

_SLOW = frozenset({heads.DUPLICATE, heads.REFUSED, heads.VERSION, _CERTIFICATE})
"""Refusals that will hardly change by themselves."""

_FOR_A_PERSON = _SLOW | {heads.REVOKED, _UNKNOWN}
"""Those that somebody has to do something about."""

_WORDS = {
    heads.REVOKED: "This desktop was revoked on the VPS; enrol it again: `orchestrator vps enroll URL CODE`",
    heads.DUPLICATE: "Another server with this enrolment is connected (a copy of the data folder, or somebody "
    "who has the credential: then run `orchestrator vps leave`, and enrol again)",
    heads.REFUSED: "The VPS takes no further desktop",
    heads.STOPPING: "The VPS is being restarted",
    heads.REPLACED: "This desktop has connected again",
    heads.SILENT: "The VPS fell silent",
    _UNKNOWN: "The VPS does not know this desktop: it has lost its data, or another one answers there; "
    "enrol again: `orchestrator vps enroll URL CODE`",
}
"""The other side's own words are its own affair; a person reads these."""

_OTHER_CERTIFICATE = (
    "The VPS shows another certificate than the one that was compared. If it was changed there, "
    "for one of Let's Encrypt perhaps, run `orchestrator vps trust`; if not, somebody is in between"
)

_log = logging.getLogger(__name__)


class Partner(Protocol):
    """Who is told of connections; see `exchanger.Exchanger`. Called by the dialling thread."""

    def connected(self, connection: RelayConnection, welcome: Welcome) -> None: ...
    def disconnected(self) -> None: ...
    def noticed(self, digest: str) -> None: ...


class Dialler:
    """One thread, from `start` to `stop`, or until the VPS revokes this desktop.

    Args:
        hello: what this desktop says of itself.
        status: told with each heartbeat; must not wait.
        serve: answers what the VPS passes on.
        welcomed: told of each greeting; must not wait.
    """

    def __init__(
        self,
        credential: VpsCredential,
        relay: RelaySettings,
        *,
        hello: Callable[[], Hello],
        status: Callable[[], Status],
        serve: Serve,
        partner: Partner,
        state: LinkStateFile,
        backoff: Backoff | None = None,
        welcomed: Callable[[Welcome], None] = lambda welcome: None,
    ) -> None:
        self._credential = credential
        self._relay = relay
        self._hello = hello
        self._status = status
        self._serve = serve
        self._partner = partner
        self._state = state
        self._backoff = backoff or Backoff()
        self._welcomed = welcomed
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._connection: RelayConnection | None = None
        self._thread = threading.Thread(target=self._run, name="vps-dialler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Say goodbye and end. Idempotent."""
        self._stopped.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.goodbye(heads.STOPPING, "The desktop is being stopped.")
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def tell_status(self) -> None:
        """Have the VPS told of a changed status now."""
        connection = self._connection
        if connection is not None:
            connection.tell_status()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._set("dialling")
            try:
                wait_s = self._hold_one()
            except Exception:
                _log.exception("Dialling the VPS failed unexpectedly")
                wait_s = self._backoff.slow_s()
            if wait_s is None:
                return
            self._stopped.wait(wait_s)

    def _hold_one(self) -> float | None:
        """Dial and hold one connection until it ends; returns how long to wait before the next
        one, None when there shall be none."""
        try:
            connection, welcome = self._connect()
        except RelayError as error:
            unwelcome = isinstance(error, DialRefused) and error.status in (401, 403)
            return self._after(error.code, _in_words(error, self._credential), slow=unwelcome)
        began = time.monotonic()
        ending = self._hold(connection, welcome)
        self._backoff.held(time.monotonic() - began)
        return self._after(ending.code, _WORDS.get(ending.code, ending.message))

    def _connect(self) -> tuple[RelayConnection, Welcome]:
        """
        Raises:
            DialFailed, GreetingRefused, SocketClosed.
        """
        timeout_s = max(self._relay.silence_s, 5.0)
        socket = dial(
            self._credential.url,
            headers={"Authorization": f"Bearer {self._credential.credential}"},
            context=context_for(self._credential.certificate)
            if self._credential.url.startswith("https:")
            else None,
            timeout_s=timeout_s,
            stall_s=self._relay.silence_s,
        )
        try:
            welcome = introduce(socket, self._hello(), timeout_s)
        except BaseException:
            socket.release()
            raise
        self._welcomed(welcome)
        connection = RelayConnection(
            socket,
            serve=self._serve,
            max_streams=self._relay.max_streams,
            heartbeat_s=self._relay.heartbeat_s,
            silence_s=self._relay.silence_s,
            status=self._status,
            on_notice=self._partner.noticed,
            on_status=self._heard,
            name=welcome.tier,
        )
        return connection, welcome

    def _hold(self, connection: RelayConnection, welcome: Welcome) -> Ending:
        with self._lock:
            self._connection = connection
        if self._stopped.is_set():
            connection.goodbye(heads.STOPPING, "The desktop is being stopped.")
        _log.info(
            "Connected to the VPS at %s as its %s, from %s; before, its credential was used from %s",
            self._credential.url,
            welcome.role,
            welcome.address or "an address it does not tell",
            welcome.before or "there as well",
        )
        self._state.note(notice="", address=welcome.address or "", before=welcome.before or "")
        self._set("connected")
        self._partner.connected(connection, welcome)
        try:
            return connection.run()
        finally:
            with self._lock:
                self._connection = None
            self._partner.disconnected()

    def _after(self, code: str, message: str, *, slow: bool = False) -> float | None:
        if self._stopped.is_set():
            self._set("off")
            return None
        why = message
        if code in _FOR_A_PERSON:
            self._state.note(notice=why)
        if code == heads.REVOKED:
            _log.error("%s", why)
            self._set("stopped", why)
            return None
        wait_s = self._backoff.slow_s() if slow or code in _SLOW else self._backoff.next_s()
        level = logging.WARNING if code in _FOR_A_PERSON else logging.INFO
        _log.log(level, "No connection to the VPS (%s: %s); dialling again in %.1f s", code, why, wait_s)
        self._set("waiting", why)
        return wait_s

    def _heard(self, status: Status) -> None:
        if not status.elsewhere:
            return
        notice = (
            f"The credential of this desktop was used from {status.elsewhere} too, while it was connected. If that "
            "was not you, run `orchestrator vps leave`, and enrol again"
        )
        if self._state.state.notice != notice:
            _log.warning("%s", notice)
            self._state.note(notice=notice)

    def _set(self, phase: str, why: str = "") -> None:
        self._state.set(phase, why, self._credential.url)  # type: ignore[arg-type]


def _in_words(error: RelayError, credential: VpsCredential) -> str:
    """Why there is no connection, for the owner of this desktop."""
    if isinstance(error, CertificateRejected) and credential.certificate is not None:
        return _OTHER_CERTIFICATE
    words = _WORDS.get(error.code, error.message)
    address = error.address if isinstance(error, GreetingRefused) else None
    return f"{words}; it comes from {address}" if address else words
