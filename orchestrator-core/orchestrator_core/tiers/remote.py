"""Another tier, as this one sees it: its state, and a way to call its HTTP API.

The relay's hub is one (the desktop, seen from the VPS, through the connection that it dialled);
`http_tier` is another (the VPS, seen from the desktop).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypedDict, Unpack


@dataclass(frozen=True, slots=True)
class TierState:
    """What is known of a tier at this moment; a snapshot for the router.

    Args:
        name: `desktop`, `vps` or `phone`.
        reachable: there is a connection and it was heard of lately.
        ready: it can answer questions, and has exchanged memories since it came back.
        queue: answers waiting there for a free place.
        up_s: seconds since it was reached last; 0 when it is not reachable.
        drops: how often the connection was lost within the last minute.
        why: in a few words, why it is not reachable or not ready; "" when it is.
    """

    name: str
    reachable: bool
    ready: bool = True
    queue: int = 0
    up_s: float = 0.0
    drops: int = 0
    why: str = ""


class RemoteResponse(Protocol):
    """An answer whose head is there and whose body may still be coming."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; of a repeated name the last."""

    def chunks(self) -> Iterator[bytes]:
        """The body, as it comes.

        Raises:
            TierLost: the tier was lost before the end.
        """

    def close(self) -> None:
        """Leave; the other side is told when the body had not ended. Idempotent, from any thread;
        ends a `chunks` that waits."""


class CallOptions(TypedDict, total=False):
    """What may be said besides of a call of another tier.

    timeout_s: for the head of its answer; default: `relay.answer_timeout_s`.
    """

    headers: Mapping[str, str] | None
    body: bytes
    timeout_s: float | None


class RemoteTier(Protocol):
    """Safe from any thread."""

    def state(self) -> TierState:
        """At once, from what is known; never asks the network."""

    def open(self, method: str, target: str, **options: Unpack[CallOptions]) -> RemoteResponse:
        """Send a request and wait for the head of its answer.

        Args:
            target: path with query, as in a request line.

        Raises:
            TierUnreachable: it was not sent; nothing happened there.
            TierLost: it was sent, and the tier was lost or took too long; it may have happened.
        """

    def settle(self, timeout_s: float) -> bool:
        """Wait until the other tier has taken in what this one's memory has now.

        Returns:
            Whether it has; False after `timeout_s` seconds, or when it is not reachable.
        """
