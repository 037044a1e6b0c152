"""All events of a stream, in order, as one value that is signed at its end: nothing of it can be cut off or changed unseen."""

from __future__ import annotations

import hashlib

from orchestrator_relay.errors import SignatureRejected
from orchestrator_relay.identity.machine import Identity, PublicIdentity, base64url, from_base64url
from orchestrator_relay.identity.signatures import Headers, signature_of

SIGNATURE_EVENT = "signature"
"""Name of the last event of a signed stream; its data is `EventChain.sign`."""

_CONTEXT = b"orchestrator event chain 1\n"


class EventChain:
    """All events of a stream, in order, as one value that is signed at its end.

    With `h(0) = SHA-256("orchestrator event chain 1\\n" + household + "\\n" + S)`, where S is the `Signature` header of the
    request, each event sets `h(n) = SHA-256(h(n-1) + SHA-256(id + "\\n" + event + "\\n" + data))` (UTF-8; "" for what
    an event does not have; `data` with "\\n" between its lines). Comments and `retry` are not part of it. The
    server signs `h(n)` and n in a last event named `signature`; without it the stream was cut off.

    Args:
        request_headers: of the signed request.
    """

    def __init__(self, household: str, request_headers: Headers) -> None:
        start = f"{household}\n{signature_of(request_headers)}"
        self._hash = hashlib.sha256(_CONTEXT + start.encode("latin-1", "replace")).digest()
        self.events = 0

    def add(self, data: str, *, event: str = "", id: str = "") -> None:
        """The next event."""
        content = f"{id}\n{event}\n{data}".encode("utf-8", "surrogatepass")
        self._hash = hashlib.sha256(self._hash + hashlib.sha256(content).digest()).digest()
        self.events += 1

    def sign(self, identity: Identity) -> str:
        """The data of the last event: `<key id> <number of events> <signature in base64url>`."""
        return f"{identity.id} {self.events} {base64url(identity.sign(self._signed()))}"

    def verify(self, server: PublicIdentity, data: str) -> None:
        """
        Raises:
            SignatureRejected: these were not the server's events, or not all of them, or not in this order.
        """
        key_id, _, rest = data.partition(" ")
        count, _, signature = rest.partition(" ")
        if key_id != server.id or count != str(self.events):
            raise SignatureRejected("The stream's signature is another server's, or events are missing.")
        try:
            given = from_base64url(signature)
        except ValueError:
            given = b""
        if not server.verifies(given, self._signed()):
            raise SignatureRejected("The stream's events are not those that the server signed.")

    def _signed(self) -> bytes:
        return _CONTEXT + self.events.to_bytes(8, "big") + self._hash
