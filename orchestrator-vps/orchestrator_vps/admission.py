"""Which desktops may connect, and the greeting that tells them so."""

from __future__ import annotations

import logging

from orchestrator_core.errors import NotFound
from orchestrator_core.settings import RelaySettings
from orchestrator_http.access.household import Household
from orchestrator_relay import heads
from orchestrator_relay.connection import Messages, RelayConnection
from orchestrator_relay.errors import InvalidIdentity
from orchestrator_relay.greeting import refuse, welcome
from orchestrator_relay.heads import Hello, Status, Welcome
from orchestrator_relay.identity.machine import PublicIdentity

from orchestrator_vps import elsewhere, places
from orchestrator_vps.credentials import Credentials, EnrolledDesktop
from orchestrator_vps.link import DesktopLink
from orchestrator_vps.memory_notices import MemoryNotices

_log = logging.getLogger(__name__)


class Admission:
    """
    Args:
        version: of this program, told to desktops.
    """

    def __init__(self, relay: RelaySettings, credentials: Credentials, *, tier: str, version: str) -> None:
        self._relay = relay
        self._credentials = credentials
        self._tier = tier
        self._version = version
        self.replica_id = ""
        self.household: Household | None = None

    def is_revoked(self, desktop_id: str) -> bool:
        try:
            return self._credentials.get(desktop_id).revoked_at is not None
        except NotFound:
            return True

    def check(
        self, desktop: EnrolledDesktop, socket: Messages, address: str, former: DesktopLink | None
    ) -> None:
        """
        Args:
            former: the connection that this desktop has already. It ends when its desktop does not answer there.

        Raises:
            GreetingRefused: the desktop was revoked, is one too many, or is connected.
        """
        if self.is_revoked(desktop.desktop_id):
            raise refuse(socket, heads.REVOKED, "This desktop was revoked on the VPS.")
        if desktop.role == "extra" and self._relay.extra_desktops == "refuse":
            raise refuse(socket, heads.REFUSED, "Another desktop is the source of truth here.")
        if former is None:
            return
        if former.connection.ping(elsewhere.PROBE_S):
            if not places.same(former.address, address):
                elsewhere.tell(former, address, self._credentials)
            raise refuse(socket, heads.DUPLICATE, "This desktop is already connected.", former.address)
        former.connection.goodbye(heads.REPLACED, "The same desktop has connected again.")

    def welcome(self, desktop: EnrolledDesktop, socket: Messages, hello: Hello, address: str) -> DesktopLink:
        """Greet a desktop that was checked.

        Raises:
            SocketClosed.
        """
        greeting = Welcome(
            tier=self._tier,
            role=desktop.role,
            replica=self.replica_id,
            version=self._version,
            heartbeat_s=self._relay.heartbeat_s,
            silence_s=self._relay.silence_s,
            address=address,
            identity=self.household.identity.public.text() if self.household is not None else "",
            before=None if places.same(desktop.address, address) else desktop.address,
        )
        welcome(socket, greeting)
        self._credentials.dialled_in(desktop.desktop_id, address)
        return self._link(desktop, socket, hello, address)

    def join(self, desktop: EnrolledDesktop, identity: str) -> None:
        """The source's keys are the household's; those of an extra desktop are nothing here."""
        if self.household is None or desktop.role != "source" or not identity:
            return
        try:
            self.household.join(PublicIdentity.parse(identity))
        except (OSError, InvalidIdentity) as error:
            _log.error("The household's keys cannot be stored: %s", error)

    def _link(self, desktop: EnrolledDesktop, socket: Messages, hello: Hello, address: str) -> DesktopLink:
        notices = MemoryNotices(lambda digest: connection.notice(digest))
        connection = RelayConnection(
            socket,
            max_streams=min(hello.max_streams, self._relay.max_streams),
            heartbeat_s=self._relay.heartbeat_s,
            silence_s=self._relay.silence_s,
            status=lambda: Status(elsewhere=link.elsewhere or None),
            on_synced=notices.answered,
            name=f"desktop-{desktop.desktop_id[-6:]}",
        )
        known = elsewhere.known_of(desktop)
        link = DesktopLink(desktop, connection, notices, self._relay, address=address, elsewhere=known)
        return link
