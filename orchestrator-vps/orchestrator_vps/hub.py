"""The desktops that are connected now, and the one of them that is the other tier for this one.

A thread looks after them once a second: it tells the source of changes in this tier's memory, and ends
the connections of desktops that were revoked, also from the command line.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta

from orchestrator_core.errors import InvalidRequest, NotFound, TierUnreachable
from orchestrator_core.settings import RelaySettings
from orchestrator_core.tiers.remote import TierState
from orchestrator_http.household import Household
from orchestrator_relay import heads
from orchestrator_relay.client_stream import RelayStream
from orchestrator_relay.connection import Ending, Messages, RelayConnection
from orchestrator_relay.errors import GreetingRefused, InvalidIdentity, SocketClosed
from orchestrator_relay.greeting import receive_hello, refuse, welcome
from orchestrator_relay.heads import RequestHead, Status, Welcome
from orchestrator_relay.identity import PublicIdentity
from pydantic import ValidationError
from shared_context.errors import SharedContextError
from shared_context.exchange.change_feed import ChangeFeed
from shared_context.exchange.replica import Replica
from shared_context.storage.identity import after, now

from orchestrator_vps import places
from orchestrator_vps.credentials import Credentials, EnrolledDesktop
from orchestrator_vps.desktop_response import DesktopResponse, translated
from orchestrator_vps.link import DESKTOP, DesktopLink, in_words, state_of

ADDRESS = "x-forwarded-for"
"""A header given to `open` under this name travels as the client's address."""

PROBE_S = 2.0
"""How long a connection has to answer a ping when the same desktop dials in anew."""

TICK_S = 1.0
PAUSE_S = 0.1
"""Between two looks at what changed: to know the state of the memory means looking at all its files, which a
hundred questions at once would each have to wait for. Who needs it sooner settles."""

MAX_NOTICES = 256
"""Waiting for their answers; a desktop that answers none is told all the same."""

TELL_FOR = timedelta(days=1)
"""How long a desktop is told that its credential was used elsewhere: it may be away, or restart."""

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
        self._relay = relay
        self._credentials = credentials
        self._tier = tier
        self._version = version
        self._links: dict[str, DesktopLink] = {}
        self._changed = threading.Condition()
        self._admitting = threading.Lock()
        self._drops: deque[float] = deque(maxlen=100)
        self._last_ending = ""
        self._replica: Replica | None = None
        self._household: Household | None = None
        self._changes: ChangeFeed | None = None
        self._closed = threading.Event()

    def attach(self, replica: Replica, changes: ChangeFeed, household: Household | None = None) -> None:
        """The memory whose changes the source is told of, and the household that it names. Once, before the first
        connection."""
        self._replica, self._changes, self._household = replica, changes, household
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
            link = self._admit(desktop, socket, min(hello.max_streams, self._relay.max_streams), address)
            self._join(desktop, hello.identity)
        except (GreetingRefused, SocketClosed, SharedContextError) as error:
            _log.warning("The desktop %s was not let in from %s: %s", desktop.desktop_id, address, error)
            socket.close()
            socket.release()
            return
        _log.info("The desktop %s (%s) is connected from %s", desktop.desktop_id, desktop.role, address)
        self._ended(link, link.connection.run())

    def used(self, desktop: EnrolledDesktop, address: str) -> None:
        """Note that a request came with this desktop's credential. One that comes from elsewhere while the
        desktop is connected is told to both owners at once: somebody else has the credential."""
        link = self._links.get(desktop.desktop_id)
        place = places.plain(address)
        if link is None or places.same(link.address, place) or place in (link.elsewhere, link.suspect):
            return
        # The desktop may just have changed its network: then its connection does not answer any more.
        link.suspect = place
        threading.Thread(target=self._check_place, args=(link, place), name="hub-place", daemon=True).start()

    def notices(self) -> list[str]:
        """What the owner of this server has to know and to act upon."""
        return [
            f"The credential of the desktop {link.desktop.name!r}, connected from {link.address}, was used from "
            f"{link.elsewhere} too. If that was not you, run on the VPS: "
            f"{self._credentials.own_command(f'revoke {link.desktop.desktop_id}')}"
            for link in list(self._links.values())
            if link.elsewhere
        ]

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
        return state_of(link, self._relay.silence_s, drops)

    def open(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float | None = None,
        begun: Callable[[RelayStream], object] | None = None,
    ) -> DesktopResponse:
        """See `RemoteTier`.

        Args:
            begun: see `RelayConnection.open`.

        Raises:
            TierUnreachable, TierLost.
            InvalidRequest: the request cannot be written down in a frame.
        """
        link = self._source()
        if link is None:
            raise TierUnreachable(
                f"The desktop is not connected ({self._last_ending or 'it has not connected yet'}).",
                hint="Start it, or ask again later.",
            )
        return self.open_on(
            link, method, target, headers=headers, body=body, timeout_s=timeout_s, begun=begun
        )

    def open_on(
        self,
        link: DesktopLink,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float | None = None,
        begun: Callable[[RelayStream], object] | None = None,
    ) -> DesktopResponse:
        """`open`, of a certain desktop."""
        fields = {name.lower(): value for name, value in (headers or {}).items()}
        address = fields.pop(ADDRESS, "")
        try:
            head = RequestHead(
                method=method, target=target, headers=tuple(fields.items()), body=len(body), address=address
            )
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise InvalidRequest(f"The request cannot be passed on: its {where} is not usable.") from None
        with translated():
            return DesktopResponse(
                link.connection.open(head, body, timeout_s or self._relay.answer_timeout_s, begun=begun)
            )

    def lenders(self) -> list[DesktopLink]:
        """Extra desktops that can answer now, the least busy first."""
        extras = [link for link in list(self._links.values()) if link.desktop.role == "extra"]
        states = [(state_of(link, self._relay.silence_s), link) for link in extras]
        usable = [(state.queue, link) for state, link in states if state.reachable and state.ready]
        return [link for _, link in sorted(usable, key=lambda pair: pair[0])]

    def settle(self, timeout_s: float) -> bool:
        """See `RemoteTier`."""
        link = self._source()
        if link is None or self._replica is None:
            return False
        digest = self._replica.state().digest
        if link.synced == digest:
            return True
        # Not until `synced` is this digest: while others write, it may never be seen to be.
        number = self._notify(link, digest)
        with self._changed:
            self._changed.wait_for(
                lambda: link.taken_in >= number or link.connection.ending is not None, timeout_s
            )
        return link.taken_in >= number

    def catch_up(self, timeout_s: float) -> None:
        """`settle`, when there is something to settle, and once for each state of the memory: a desktop
        that cannot exchange does not hold up every request."""
        link = self._source()
        if link is None or self._replica is None:
            return
        digest = self._replica.state().digest
        if digest not in (link.synced, link.gave_up_on) and not self.settle(timeout_s):
            link.gave_up_on = digest

    # Inside

    def _admit(
        self, desktop: EnrolledDesktop, socket: Messages, max_streams: int, address: str
    ) -> DesktopLink:
        """
        Raises:
            GreetingRefused, SocketClosed.
        """
        with self._admitting:
            self._refuse_unwanted(desktop, socket, address)
            replica = self._replica.replica_id if self._replica is not None else ""
            greeting = Welcome(
                tier=self._tier,
                role=desktop.role,
                replica=replica,
                version=self._version,
                heartbeat_s=self._relay.heartbeat_s,
                silence_s=self._relay.silence_s,
                address=address,
                identity=self._household.identity.public.text() if self._household is not None else "",
                before=None if places.same(desktop.address, address) else desktop.address,
            )
            welcome(socket, greeting)
            self._credentials.dialled_in(desktop.desktop_id, address)
            link = DesktopLink(desktop, self._connection(desktop, socket, max_streams), address=address)
            if desktop.elsewhere_at and desktop.elsewhere_at > after(now(), -TELL_FOR):
                link.elsewhere = desktop.elsewhere
            with self._changed:
                self._links[desktop.desktop_id] = link
                self._changed.notify_all()
        return link

    def _join(self, desktop: EnrolledDesktop, identity: str) -> None:
        """The source's keys are the household's; those of an extra desktop are nothing here."""
        if self._household is None or desktop.role != "source" or not identity:
            return
        try:
            self._household.join(PublicIdentity.parse(identity))
        except (OSError, InvalidIdentity) as error:
            _log.error("The household's keys cannot be kept: %s", error)

    def _check_place(self, link: DesktopLink, place: str) -> None:
        if link.connection.ping(PROBE_S):
            self._tell_place(link, place)
        link.suspect = ""

    def _tell_place(self, link: DesktopLink, place: str) -> None:
        link.elsewhere = place
        _log.warning(
            "The credential of the desktop %s, connected from %s, was used from %s too",
            link.desktop.desktop_id,
            link.address,
            place,
        )
        link.connection.tell_status()
        try:
            self._credentials.used_elsewhere(link.desktop.desktop_id, place)
        except SharedContextError as error:
            _log.warning("%s", error.message)

    def _connection(self, desktop: EnrolledDesktop, socket: Messages, max_streams: int) -> RelayConnection:
        def synced(digest: str) -> None:
            link = self._links.get(desktop.desktop_id)
            if link is not None and link.connection is connection:
                with self._changed:
                    link.synced = digest
                    number = link.notices.get(digest, 0)
                    link.taken_in = max(link.taken_in, number)
                    link.notices = {
                        state: number for state, number in link.notices.items() if number > link.taken_in
                    }
                    self._changed.notify_all()

        def status() -> Status:
            link = self._links.get(desktop.desktop_id)
            return Status(elsewhere=link.elsewhere or None if link is not None else None)

        connection = RelayConnection(
            socket,
            max_streams=max_streams,
            heartbeat_s=self._relay.heartbeat_s,
            silence_s=self._relay.silence_s,
            status=status,
            on_synced=synced,
            name=f"desktop-{desktop.desktop_id[-6:]}",
        )
        return connection

    def _refuse_unwanted(self, desktop: EnrolledDesktop, socket: Messages, address: str) -> None:
        """
        Raises:
            GreetingRefused: it was revoked, is one too many, or is connected already.
        """
        if self._closed.is_set():
            raise refuse(socket, heads.STOPPING, "The VPS is being stopped.")
        if self._is_revoked(desktop.desktop_id):
            raise refuse(socket, heads.REVOKED, "This desktop was revoked on the VPS.")
        if desktop.role == "extra" and self._relay.extra_desktops == "refuse":
            raise refuse(socket, heads.REFUSED, "Another desktop is the source of truth here.")
        former = self._links.get(desktop.desktop_id)
        if former is None:
            return
        if former.connection.ping(PROBE_S):
            if not places.same(former.address, address):
                self._tell_place(former, address)
            raise refuse(socket, heads.DUPLICATE, "This desktop is connected already.", former.address)
        former.connection.goodbye(heads.REPLACED, "The same desktop has dialled anew.")

    def _ended(self, link: DesktopLink, ending: Ending) -> None:
        with self._changed:
            if self._links.get(link.desktop.desktop_id) is link:
                del self._links[link.desktop.desktop_id]
            if link.desktop.role == "source":
                self._last_ending = in_words(ending)
                if ending.code in _DROPPED:
                    self._drops.append(time.monotonic())
            self._changed.notify_all()
        _log.info(
            "The desktop %s is gone: %s %s", link.desktop.desktop_id, ending.code, ascii(ending.message[:200])
        )
        self._mark_seen(link)

    def _source(self) -> DesktopLink | None:
        for link in list(self._links.values()):
            if link.desktop.role == "source" and link.connection.ending is None:
                return link
        return None

    def _recent_drops(self) -> int:
        since = time.monotonic() - DROPS_WITHIN_S
        return sum(moment >= since for moment in list(self._drops))

    def _notify(self, link: DesktopLink, digest: str) -> int:
        """Tell a desktop of this state of the memory, unless it was told of it last; returns the
        number of that notice. Of a desktop that is gone its connection knows."""
        with link.telling:
            if link.noticed == digest:
                return link.last_notice
            with self._changed:
                link.last_notice += 1
                link.noticed = digest
                link.notices[digest] = link.last_notice
                if len(link.notices) > MAX_NOTICES:
                    del link.notices[min(link.notices, key=link.notices.__getitem__)]
            with suppress(SocketClosed):
                link.connection.notice(digest)
            return link.last_notice

    def _look_after(self) -> None:
        assert self._changes is not None
        seen = -1
        while not self._closed.is_set():
            count = self._changes.wait(seen, TICK_S)
            try:
                self._look_once(changed=count > seen)
            except SharedContextError as error:
                _log.warning("The desktops cannot be looked after: %s", error.message)
            seen = count
            self._closed.wait(PAUSE_S)

    def _look_once(self, *, changed: bool) -> None:
        for link in list(self._links.values()):
            if self._is_revoked(link.desktop.desktop_id):
                self.drop(link.desktop.desktop_id)
            elif (
                link.desktop.role == "source" and (changed or not link.noticed) and self._replica is not None
            ):
                self._notify(link, self._replica.state().digest)
            if time.monotonic() - link.seen >= SEEN_EVERY_S:
                self._mark_seen(link)

    def _is_revoked(self, desktop_id: str) -> bool:
        try:
            return self._credentials.get(desktop_id).revoked_at is not None
        except NotFound:
            return True

    def _mark_seen(self, link: DesktopLink) -> None:
        link.seen = time.monotonic()
        try:
            self._credentials.seen(link.desktop.desktop_id)
        except SharedContextError as error:
            _log.warning("%s", error.message)
