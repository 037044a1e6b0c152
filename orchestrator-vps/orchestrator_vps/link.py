"""One connected desktop, as the hub knows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestrator_core.errors import InvalidRequest
from orchestrator_core.settings import RelaySettings
from orchestrator_core.tiers.remote import TierState
from orchestrator_relay import heads
from orchestrator_relay.client_stream import RelayStream
from orchestrator_relay.connection import Ending, RelayConnection
from orchestrator_relay.heads import RequestHead
from pydantic import ValidationError

from orchestrator_vps.credentials import EnrolledDesktop
from orchestrator_vps.desktop_response import DesktopResponse, translated
from orchestrator_vps.memory_notices import MemoryNotices

DESKTOP = "desktop"

ADDRESS = "x-forwarded-for"
"""A header given to `DesktopLink.open` under this name travels as the client's address."""


@dataclass(eq=False)
class DesktopLink:
    """A connected desktop.

    Args:
        address: from where it connected.
        elsewhere: from where else its credential was used last while it was connected.
        suspect: from where else it was used, while that is looked into.
        seen: when that it is connected was noted last, on the monotonic clock.
    """

    desktop: EnrolledDesktop
    connection: RelayConnection
    notices: MemoryNotices
    relay: RelaySettings
    since: float = field(default_factory=time.monotonic)
    seen: float = 0.0
    address: str = ""
    elsewhere: str = ""
    suspect: str = ""

    def state(self, drops: int = 0) -> TierState:
        peer = self.connection.peer
        ready = peer is not None and peer.ready
        return TierState(
            DESKTOP,
            reachable=self.connection.heard_s_ago() < self.relay.silence_s,
            ready=ready,
            queue=peer.queue if peer is not None else 0,
            up_s=time.monotonic() - self.since,
            drops=drops,
            why="" if ready else "its model is not loaded, or memories are not exchanged",
        )

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
        fields = {name.lower(): value for name, value in (headers or {}).items()}
        address = fields.pop(ADDRESS, "")
        try:
            head = RequestHead(
                method=method, target=target, headers=tuple(fields.items()), body=len(body), address=address
            )
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise InvalidRequest(
                f"The request cannot be passed on to the desktop: its {where} is invalid."
            ) from None
        with translated():
            timeout_s = timeout_s or self.relay.answer_timeout_s
            return DesktopResponse(self.connection.open(head, body, timeout_s, begun=begun))


def in_words(ending: Ending) -> str:
    """For people, in words of this server's own: nothing that a desktop could have chosen freely."""
    words = {
        heads.STOPPING: "it was stopped",
        heads.REVOKED: "it was revoked",
        heads.SILENT: "it does not answer",
        heads.REPLACED: "it connected again",
    }
    return words.get(ending.code, "the connection was lost")
