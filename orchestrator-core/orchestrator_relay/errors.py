"""Every error the wire between tiers raises, in one tree.

RelayError
├── HandshakeRejected             a request to the relay's address is no WebSocket handshake
├── InvalidFingerprint            a text is no SHA-256 fingerprint
├── DialFailed                    there is no connection: nobody answers, or not as a relay
│   ├── CertificateRejected       who answers has another certificate than the trusted one
│   └── DialRefused               the server answered with something else than a connection
├── GreetingRefused               one side said, or found out, why there will be no connection
├── SocketClosed                  the connection is no more (a ConnectionError)
├── BadFrame                      bytes that are no frame, or a frame out of turn (a ValueError)
├── HeadTooLarge                  a request's headers fit no frame; nothing was sent
├── RequestNotSent                a request did not begin at the other side; nothing happened there
├── AnswerLost                    a request was sent and its answer lost or late; it may have happened
├── BodyCutShort                  the body of a request ended before its time (an OSError)
├── BodyUnwanted                  the answer has come: the rest of the body is not sent
├── AnswerUnwanted                the client has left: the rest of the answer is not sent
├── InvalidIdentity               a text or key is no public identity
├── IdentityUnusable              the file of this machine's keys is damaged, or others may read it
├── InvalidPairing                a link, code or statement of a pairing is none
├── PairingRefused                there is no such pairing (any more), or the other side could not prove itself
├── SignatureRejected             a message is not signed by who it should be, or was altered
│   ├── ClockOff                  rightly signed, at a moment that is not now; tells the server's time
│   └── RequestReplayed           rightly signed, and taken before; tells the server's time
└── SealBroken                    bytes that were not sealed to this key, or were altered
    └── AnswerCutShort            a sealed answer ended before its time

These are this package's own: whoever sends requests over the relay translates them at his boundary (the
VPS's hub into `TierUnreachable` and `TierLost`).
"""

from __future__ import annotations

from typing import Final


class RelayError(Exception):
    """
    Args:
        message: what is wrong, with the value at fault.
        hint: what to do next.
        code: overrides the class's machine-readable code.
    """

    code: str = "relay_error"

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message: Final = message
        self.hint: Final = hint
        if code is not None:
            self.code = code


class HandshakeRejected(RelayError):
    """A request to the relay's address is no WebSocket handshake."""

    code = "invalid_request"


class InvalidFingerprint(RelayError):
    """A text is no SHA-256 fingerprint of a certificate."""

    code = "invalid_request"


class DialFailed(RelayError):
    """There is no connection: nobody answers, or not as a relay. The message is a few words."""

    code = "lost"


class CertificateRejected(DialFailed):
    """Who answers has not the certificate that is trusted, or none that the system trusts."""

    code = "certificate"


class DialRefused(DialFailed):
    """The server answered with something else than a connection.

    Args:
        status: HTTP status.
        code: of its error body; "" when there was none that is ours.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message, code=code)
        self.status: Final = status


class GreetingRefused(RelayError):
    """There will be no connection; the socket is closed.

    Args:
        code, address: of the GOODBYE; see `heads`.
        message: for people.
    """

    def __init__(self, code: str, message: str, address: str | None = None) -> None:
        super().__init__(message, code=code)
        self.address: Final = address


class SocketClosed(RelayError, ConnectionError):
    """The connection is no more. The message is a few words."""

    code = "lost"


class BadFrame(RelayError, ValueError):
    """Bytes that are no frame, or a frame that may not come now. The connection is closed: after
    one of them nothing is known of what the other side means."""

    code = "protocol"


class HeadTooLarge(RelayError):
    """The headers of a request fit no frame. Nothing was sent."""

    code = "headers_too_large"


class RequestNotSent(RelayError):
    """The request did not begin at the other side: nothing happened there."""

    code = "tier_unreachable"


class AnswerLost(RelayError):
    """The request was sent; its answer was lost, or came too late. It may have been done."""

    code = "tier_lost"


class BodyCutShort(RelayError, OSError):
    """The body of a request ended before its time, or the client that sent it has gone."""

    code = "body_cut_short"


class BodyUnwanted(RelayError):
    """The other side answers already: it does not want the rest of the body."""

    code = "body_unwanted"


class AnswerUnwanted(RelayError):
    """Nobody waits for this answer any more."""

    code = "answer_unwanted"


class InvalidIdentity(RelayError):
    """A text or a key is no public identity."""

    code = "invalid_request"


class IdentityUnusable(RelayError):
    """The file of this machine's keys cannot be used, and was left as it is."""

    code = "configuration_error"


class InvalidPairing(RelayError):
    """A link, a code or a statement of a pairing is none. No secret is in the text."""

    code = "invalid_request"


class PairingRefused(RelayError):
    """There is no such pairing, or not any more, or the other side could not prove that it knows the secret; the
    code says which."""

    code = "pairing_refused"


class SignatureRejected(RelayError):
    """A message is not signed by who it should be, or not as it stands. No secret and nothing of the
    message is in the text."""

    code = "invalid_signature"


class ClockOff(SignatureRejected):
    """Rightly signed, but at a moment that is not now.

    Args:
        server_time: Unix time, in seconds, of whoever verified: sign anew with it, once.
    """

    code = "clock_off"

    def __init__(self, message: str, *, server_time: int) -> None:
        super().__init__(message, hint="Sign it again with the time in server_time.")
        self.server_time: Final = server_time


class RequestReplayed(SignatureRejected):
    """Rightly signed, and taken before. Sign it anew to ask again.

    Args:
        server_time: Unix time, in seconds, of whoever verified.
    """

    code = "request_replayed"

    def __init__(self, message: str, *, server_time: int) -> None:
        super().__init__(message, hint="Sign the request anew, with another nonce.")
        self.server_time: Final = server_time


class SealBroken(RelayError):
    """Bytes that were not sealed to this key for this purpose, or that were altered, cut or reordered."""

    code = "seal_broken"


class AnswerCutShort(SealBroken):
    """A sealed answer ended before its time: what came of it is authentic, and not all."""

    code = "answer_cut_short"
