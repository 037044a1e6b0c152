"""The credential of a connected desktop, used from another address: somebody else may have it, so both owners are told."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from shared_context.errors import SharedContextError
from shared_context.storage.identity import after, now

from orchestrator_vps import places
from orchestrator_vps.credentials import Credentials, EnrolledDesktop
from orchestrator_vps.link import DesktopLink

PROBE_S = 2.0
"""How long a connection has to answer a ping, to show that its desktop is still there."""

TELL_FOR = timedelta(days=1)
"""How long a desktop is told of it: it may be away, or restart."""

_log = logging.getLogger(__name__)


def known_of(desktop: EnrolledDesktop) -> str:
    """The other address that the desktop is still to be told of, or ""."""
    recent = desktop.elsewhere_at and desktop.elsewhere_at > after(now(), -TELL_FOR)
    return desktop.elsewhere if recent else ""


def note_use(link: DesktopLink, address: str, credentials: Credentials) -> None:
    """A request came with the desktop's credential. Returns at once; what has to be found out is, in a thread."""
    place = places.plain(address)
    if places.same(link.address, place) or place in (link.elsewhere, link.suspect):
        return
    # The desktop may just have changed its network: then its connection does not answer any more.
    link.suspect = place
    threading.Thread(target=_check, args=(link, place, credentials), name="hub-place", daemon=True).start()


def tell(link: DesktopLink, place: str, credentials: Credentials) -> None:
    """The credential was used from this place too."""
    link.elsewhere = place
    _log.warning(
        "The credential of the desktop %s, connected from %s, was used from %s too",
        *(link.desktop.desktop_id, link.address, place),
    )
    link.connection.tell_status()
    try:
        credentials.used_elsewhere(link.desktop.desktop_id, place)
    except SharedContextError as error:
        _log.warning("%s", error.message)


def notice(link: DesktopLink, credentials: Credentials) -> str:
    """For the owner of this server."""
    return (
        f"The credential of the desktop {link.desktop.name!r}, connected from {link.address}, was used from "
        f"{link.elsewhere} too. If that was not you, run on the VPS: "
        f"{credentials.own_command(f'revoke {link.desktop.desktop_id}')}"
    )


def _check(link: DesktopLink, place: str, credentials: Credentials) -> None:
    if link.connection.ping(PROBE_S):
        tell(link, place, credentials)
    link.suspect = ""
