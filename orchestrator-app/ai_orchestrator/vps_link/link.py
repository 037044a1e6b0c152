"""The link as the server runs it: there while the desktop is enrolled, and gone when it is not."""

from __future__ import annotations

import logging
import platform
import threading

from orchestrator_core.errors import ConfigurationError
from orchestrator_core.own_commands import runnable
from orchestrator_core.settings import Settings
from orchestrator_http.services import Services
from orchestrator_relay.errors import InvalidIdentity
from orchestrator_relay.heads import Hello, RequestHead, Status, Welcome
from orchestrator_relay.identity.machine import PublicIdentity
from orchestrator_relay.identity.pinning import session_for
from orchestrator_relay.server_stream import RequestBody, ServedResponse
from orchestrator_relay.wsgi_call import App, WsgiCall
from shared_context.errors import SharedContextError
from shared_context.exchange.sync_client import SyncClient

from ai_orchestrator.vps_link import credentials
from ai_orchestrator.vps_link.credentials import VpsCredential
from ai_orchestrator.vps_link.dialler import Dialler
from ai_orchestrator.vps_link.exchanger import Exchanger
from ai_orchestrator.vps_link.link_state import LinkState, LinkStateFile

LOOK_S = 1.0
"""How soon `orchestrator vps enroll` and `leave` are noticed by a running server."""

QUEUE_S = 0.1
"""How old the length of the queue may be that the VPS is told of, while it asks or answers are running."""

REVOKED = (
    "This VPS was revoked here, in the list of devices (`orchestrator devices list`). Give it new keys (delete "
    "identity.json in its data folder), and enrol again"
)

_log = logging.getLogger(__name__)


class VpsLink:
    """
    Args:
        app: answers what the VPS passes on.
    """

    def __init__(self, settings: Settings, services: Services, app: App) -> None:
        self._settings = settings
        self._services = services
        self._call = WsgiCall(app)
        self._state = LinkStateFile(settings.data)
        self._stopping = threading.Event()
        self._asked = threading.Event()
        self._stamp: tuple[int, int] | None = None
        self._dialler: Dialler | None = None
        self._exchanger: Exchanger | None = None
        self._queue = 0
        self._vps_id = ""
        self._thread = threading.Thread(target=self._look_after, name="vps-link", daemon=True)

    @property
    def state(self) -> LinkState:
        return self._state.state

    def notices(self) -> list[str]:
        """What the owner has to act upon."""
        notice = self._state.state.notice
        return [runnable(notice)] if notice else []

    def start(self) -> None:
        self._services.notices.append(self.notices)
        self._thread.start()

    def begin_stop(self) -> None:
        """The server takes no new work any more: the VPS is told at once."""
        dialler = self._dialler
        if dialler is not None:
            dialler.tell_status()

    def stop(self) -> None:
        """End the connection; what was being answered over it goes on at the VPS. Idempotent."""
        self._stopping.set()
        self._asked.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def _look_after(self) -> None:
        try:
            while not self._stopping.is_set():
                # A question is in the queue only some time after it was asked.
                if self._look_once() or self._asked.is_set():
                    self._asked.clear()
                    self._stopping.wait(QUEUE_S)
                else:
                    self._asked.wait(LOOK_S)
        except Exception:
            _log.exception("The link to the VPS ended unexpectedly")
        finally:
            self._unlink()

    def _look_once(self) -> bool:
        """Whether the queue may change soon."""
        stamp = credentials.stamp(self._settings.data)
        if stamp != self._stamp:
            self._stamp = stamp
            self._unlink()
            self._link()
        if self._vps_id and self._services.household.devices.is_revoked(self._vps_id):
            self._unlink()
            self._state.set("stopped", REVOKED)
        dialler = self._dialler
        return dialler is not None and self._measure_queue(dialler)

    def _measure_queue(self, dialler: Dialler) -> bool:
        load = self._services.assistant.backend.stats()
        if load.waiting != self._queue:
            self._queue = load.waiting
            dialler.tell_status()
        return load.running + load.waiting > 0

    def _serve(self, head: RequestHead, body: RequestBody) -> ServedResponse:
        self._asked.set()
        return self._call(head, body)

    def _link(self) -> None:
        try:
            credential = credentials.read(self._settings.data)
        except ConfigurationError as error:
            _log.error("%s %s", error.message, error.hint or "")
            self._state.set("stopped", error.message)
            return
        if credential is None:
            self._state.set("off")
            return
        self._exchanger = Exchanger(
            self._services.replica, lambda: self._client(credential), self._ready_changed
        )
        self._dialler = Dialler(
            credential,
            self._settings.relay,
            hello=self._hello,
            status=self._status,
            serve=self._serve,
            partner=self._exchanger,
            welcomed=self._welcomed,
            state=self._state,
        )
        self._dialler.start()

    def _unlink(self) -> None:
        dialler, self._dialler, self._exchanger = self._dialler, None, None
        self._vps_id = ""
        if dialler is not None:
            dialler.stop()
            self._state.note(notice="", address="", before="")
            self._state.set("off")

    def _ready_changed(self, ready: bool, why: str) -> None:
        dialler = self._dialler
        if dialler is None:
            return
        if ready:
            self._state.set("ready", "", self._state.state.url)
            dialler.tell_status()
        elif why:
            self._state.set("connected", f"The memories cannot be exchanged: {why}", self._state.state.url)

    def _client(self, credential: VpsCredential) -> SyncClient:
        session = session_for(credential.certificate, credential.credential)
        return SyncClient(credential.url, self._services.replica, session=session)

    def _hello(self) -> Hello:
        return Hello(
            name=platform.node()[:64],
            replica=self._services.replica.replica_id,
            version=self._services.version,
            max_streams=self._settings.relay.max_streams,
            identity=self._services.household.identity.public.text(),
        )

    def _welcomed(self, welcome: Welcome) -> None:
        """The VPS is a member of the household: its keys go into the registry, where the phones find them."""
        if welcome.role != "source" or not welcome.identity:
            return
        try:
            public = PublicIdentity.parse(welcome.identity)
            devices = self._services.household.devices
            if devices.lookup(public.id) is None:
                devices.add(public.id, name=welcome.tier, kind="vps", public=public.text())
            self._vps_id = public.id
        except (InvalidIdentity, SharedContextError) as error:
            _log.warning("The keys of the VPS are not in the registry of devices: %s", error)

    def _status(self) -> Status:
        exchanger = self._exchanger
        ready = (
            exchanger is not None
            and exchanger.ready
            and self._services.model.state == "ready"
            and not self._services.stopping.is_set()
        )
        return Status(queue=self._queue, ready=ready)
