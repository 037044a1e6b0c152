"""The desktops that are connected now, and the one of them that is the other tier for this one.

A thread looks after them once a second: it tells the source of changes in this tier's memory, and ends
the connections of desktops that were revoked, also from the command line.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any

from orchestrator_core.errors import TierUnreachable
from orchestrator_core.settings import RelaySettings
from orchestrator_core.tiers.remote import TierState
from orchestrator_http.access.household import Household
from orchestrator_relay import heads
from orchestrator_relay.connection import Ending, Messages
from orchestrator_relay.errors import GreetingRefused, SocketClosed
from orchestrator_relay.greeting import receive_hello, refuse
from orchestrator_relay.heads import Hello
from shared_context.errors import SharedContextError
from shared_context.exchange.change_feed import ChangeFeed
from shared_context.exchange.replica import Replica

from orchestrator_vps import elsewhere, places
from orchestrator_vps.admission import Admission
from orchestrator_vps.credentials import Credentials, EnrolledDesktop
from orchestrator_vps.desktop_response import DesktopResponse
from orchestrator_vps.link import DESKTOP, DesktopLink, in_words

TICK_S = 1.0
PAUSE_S = 0.1
"""Between two looks at what changed: to know the state of the memory means looking at all its files, which a
hundred questions at once would each have to wait for. Who needs it sooner settles."""

SEEN_EVERY_S = 30.0
DROPS_WITHIN_S = 60.0
_DROPPED = frozenset({heads.LOST, heads.SILENT, heads.PROTOCOL_ERROR, heads.REPLACED})
"""Endings nobody wanted."""

_log = logging.getLogger(__name__)


class Hub:
    """Safe from any thread. As a `RemoteTier` it is the source desktop.

    Args:
        version: of this program, told to desktops.
    """

    def __init__(
        self, relay: RelaySettings, credentials: Credentials, *, tier: str = "vps", version: str = ""
    ) -> None:
        self._credentials = credentials
        self._admission = Admission(relay, credentials, tier=tier, version=version)
        self._links: dict[str, DesktopLink] = {}
        self._admitting = threading.Lock()
        self._replacing = threading.Lock()
        self._drops: deque[float] = deque(maxlen=100)
        self._last_ending = ""
        self._replica: Replica | None = None
        self._changes: ChangeFeed | None = None
        self._closed = threading.Event()

    def attach(self, replica: Replica, changes: ChangeFeed, household: Household | None = None) -> None:
        """The memory whose changes the source is told of, and the household that it names. Once, before the first
        connection."""
        self._replica, self._changes = replica, changes
        self._admission.replica_id, self._admission.household = replica.replica_id, household
        threading.Thread(target=self._look_after, name="hub", daemon=True).start()

    # A desktop's connection

    def serve(self, desktop: EnrolledDesktop, socket: Messages, address: str = "") -> None:
        """Hold a desktop's connection, from its greeting to its end; returns after it.

        Args:
            address: from where it dials in.
        """
        address = places.plain(address)
        try:
            hello = receive_hello(socket)
            link = self._admit(desktop, socket, hello, address)
            self._admission.join(desktop, hello.identity)
        except (GreetingRefused, SocketClosed, SharedContextError) as error:
            _log.warning("The desktop %s from %s was refused: %s", desktop.desktop_id, address, error)
            socket.close()
            socket.release()
            return
        _log.info("The desktop %s (%s) connected from %s", desktop.desktop_id, desktop.role, address)
        self._ended(link, link.connection.run())

    def used(self, desktop: EnrolledDesktop, address: str) -> None:
        """Note that a request came with this desktop's credential. One that comes from elsewhere while the
        desktop is connected is told to both owners at once: somebody else has the credential."""
        link = self._links.get(desktop.desktop_id)
        if link is not None:
            elsewhere.note_use(link, address, self._credentials)

    def notices(self) -> list[str]:
        """What the owner of this server has to know and to act upon."""
        links = [link for link in list(self._links.values()) if link.elsewhere]
        return [elsewhere.notice(link, self._credentials) for link in links]

    def connected(self) -> frozenset[str]:
        return frozenset(self._links)

    @property
    def streams(self) -> int:
        """Requests to desktops that are under way."""
        return sum(link.connection.streams for link in list(self._links.values()))

    def drop(self, desktop_id: str) -> None:
        """End the connection of a desktop that was revoked."""
        link = self._links.get(desktop_id)
        if link is not None:
            link.connection.goodbye(heads.REVOKED, "This desktop was revoked on the VPS.")

    def close(self) -> None:
        """Tell every desktop that this server stops. Idempotent."""
        self._closed.set()
        for link in list(self._links.values()):
            link.connection.goodbye(heads.STOPPING, "The VPS is being stopped.")

    # The source desktop, as another tier

    @property
    def enrolled(self) -> bool:
        """Whether any desktop may connect."""
        return any(desktop.revoked_at is None for desktop in self._credentials.desktops())

    def state(self) -> TierState:
        link = self._source()
        drops = self._recent_drops()
        if link is None:
            why = self._last_ending or "it has not connected yet"
            return TierState(DESKTOP, reachable=False, ready=False, drops=drops, why=why)
        return link.state(drops)

    def open(self, method: str, target: str, **options: Any) -> DesktopResponse:
        """See `RemoteTier`, and `DesktopLink.open` for the options.

        Raises:
            TierUnreachable, TierLost, InvalidRequest.
        """
        link = self._source()
        if link is None:
            raise TierUnreachable(
                f"The desktop is not connected ({self._last_ending or 'it has not connected yet'}).",
                hint="Start it, or ask again later.",
            )
        return link.open(method, target, **options)

    def lenders(self) -> list[DesktopLink]:
        """Extra desktops that can answer now, the least busy first."""
        extras = [link for link in list(self._links.values()) if link.desktop.role == "extra"]
        states = [(link.state(), link) for link in extras]
        usable = [(state.queue, link) for state, link in states if state.reachable and state.ready]
        return [link for _, link in sorted(usable, key=lambda pair: pair[0])]

    def settle(self, timeout_s: float) -> bool:
        """See `RemoteTier`."""
        link = self._source()
        if link is None or self._replica is None:
            return False
        return link.notices.settle(self._replica.state().digest, timeout_s)

    def catch_up(self, timeout_s: float) -> None:
        """`settle`, when there is something to settle, and once for each state of the memory."""
        link = self._source()
        if link is not None and self._replica is not None:
            link.notices.catch_up(self._replica.state().digest, timeout_s)

    # Inside

    def _admit(self, desktop: EnrolledDesktop, socket: Messages, hello: Hello, address: str) -> DesktopLink:
        """
        Raises:
            GreetingRefused, SocketClosed.
        """
        with self._admitting:
            if self._closed.is_set():
                raise refuse(socket, heads.STOPPING, "The VPS is being stopped.")
            self._admission.check(desktop, socket, address, self._links.get(desktop.desktop_id))
            link = self._admission.welcome(desktop, socket, hello, address)
            with self._replacing:
                self._links[desktop.desktop_id] = link
        return link

    def _ended(self, link: DesktopLink, ending: Ending) -> None:
        with self._replacing:
            if self._links.get(link.desktop.desktop_id) is link:
                del self._links[link.desktop.desktop_id]
        if link.desktop.role == "source":
            self._last_ending = in_words(ending)
            if ending.code in _DROPPED:
                self._drops.append(time.monotonic())
        link.notices.end()
        message = ascii(ending.message[:200])
        _log.info("The desktop %s disconnected: %s %s", link.desktop.desktop_id, ending.code, message)
        self._mark_seen(link)

    def _source(self) -> DesktopLink | None:
        for link in list(self._links.values()):
            if link.desktop.role == "source" and link.connection.ending is None:
                return link
        return None

    def _recent_drops(self) -> int:
        since = time.monotonic() - DROPS_WITHIN_S
        return sum(moment >= since for moment in list(self._drops))

    def _look_after(self) -> None:
        assert self._changes is not None
        seen = -1
        while not self._closed.is_set():
            count = self._changes.wait(seen, TICK_S)
            try:
                self._look_once(changed=count > seen)
            except SharedContextError as error:
                _log.warning("The connected desktops could not be checked: %s", error.message)
            seen = count
            self._closed.wait(PAUSE_S)

    def _look_once(self, *, changed: bool) -> None:
        for link in list(self._links.values()):
            if self._admission.is_revoked(link.desktop.desktop_id):
                self.drop(link.desktop.desktop_id)
            elif link.desktop.role == "source" and (changed or not link.notices.begun) and self._replica:
                link.notices.tell(self._replica.state().digest)
            if time.monotonic() - link.seen >= SEEN_EVERY_S:
                self._mark_seen(link)

    def _mark_seen(self, link: DesktopLink) -> None:
        link.seen = time.monotonic()
        try:
            self._credentials.seen(link.desktop.desktop_id)
        except SharedContextError as error:
            _log.warning("%s", error.message)
