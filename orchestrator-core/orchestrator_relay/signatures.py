"""Signed requests, answers and streams: RFC 9421 HTTP Message Signatures with RFC 9530 digests, Ed25519.

A request is signed over `@method`, `@path`, `@query`, `content-digest` and those of `COVERED_HEADERS` that it
has, with `created`, `nonce`, `keyid` (the signer's id), `alg` and `tag` (the household's id). An answer is signed over
`@status`, its `content-digest`, its `content-type` and the `signature` of its request. A stream is signed at its end,
over a chain of all its events (`EventChain`).

Covered: alteration, truncation, replay, another household, another key, a clock that is off.
Not covered: secrecy (`sealing`, or TLS); whoever relays a request may delay it by `MAX_AGE_S` or drop it.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from urllib.parse import urlsplit

from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    VerifyResult,
)
from http_message_signatures.algorithms import ED25519

from orchestrator_relay.errors import ClockOff, RequestReplayed, SignatureRejected
from orchestrator_relay.identity import Identity, PublicIdentity, base64url, from_base64url

MAX_AGE_S = 60
"""Seconds after `created` in which a request is taken."""

MAX_AHEAD_S = 10
"""Seconds that the signer's clock may be ahead."""

MAX_NONCES = 100_000
"""Requests of the last `MAX_AGE_S` that are remembered; beyond, the oldest moments are closed to their signer."""

COVERED_HEADERS = ("content-type", "if-match", "if-none-match", "last-event-id", "range")
"""Headers that change what a request does: covered when there, and refused when there and not covered."""

SIGNATURE_EVENT = "signature"
"""Name of the last event of a signed stream; its data is `EventChain.sign`."""

LABEL = "orchestrator"
_REQUEST = ("@method", "@path", "@query", "content-digest")
_CHAIN = b"orchestrator event chain 1\n"

Headers = Mapping[str, str]
KeyFor = Callable[[str], PublicIdentity | None]
"""The identity that a key id stands for; None when nobody with this id may ask (any more)."""


def is_signed(headers: Headers) -> bool:
    """Whether a request claims to be signed; what the signature is worth `verify_request` says."""
    return any(name.lower() == "signature-input" for name in headers)


def sign_request(
    identity: Identity,
    household: str,
    method: str,
    url: str,
    headers: Headers,
    body: bytes,
    *,
    now: float | None = None,
) -> dict[str, str]:
    """The headers to add to a request: `Content-Digest`, `Signature-Input`, `Signature`.

    Args:
        household: id of the household that is asked; it is the `tag`.
        url: as it will be sent, percent-encoded, absolute or from its path on. Path and query are signed, the
            host is not: the same request may travel over the LAN, a VPN or the relay.
        headers: as they will be sent; of them `COVERED_HEADERS` are signed.
        body: whole; b"" when there is none.
        now: Unix time, to be corrected by a server's (`ClockOff.server_time`); default: this clock's.

    Raises:
        SignatureRejected: method, URL or a header cannot be signed.
    """
    message = _Request(method.upper(), _absolute(url), dict(headers))
    covered = (*_REQUEST, *_covered_headers(message.headers))
    nonce = secrets.token_urlsafe(16)
    return _sign(identity, household, message, covered, body, now=now, nonce=nonce)


def verify_request(
    household: str,
    key_for: KeyFor,
    nonces: NonceStore,
    method: str,
    url: str,
    headers: Headers,
    body: bytes,
    *,
    now: float | None = None,
) -> str:
    """Who signed the request: the id of his key. The nonce is used up.

    Args:
        key_for: asked for the key id that the request names.
        url: as it was received, not decoded; absolute or from its path on.

    Raises:
        ClockOff: rightly signed, but not within `MAX_AGE_S`; the server's time is in it.
        RequestReplayed: seen before, or of before this server's start.
        SignatureRejected: not signed, by an unknown key (code `unknown_key`), for another household (code
            `wrong_household`), or altered.
    """
    message = _Request(method, _absolute(url), dict(headers))
    keys = _Keys(key_for)
    required = (*_REQUEST, *_covered_headers(message.headers))
    result = _verify(keys, household, message, required, body)
    moment = time.time() if now is None else now
    created, key_id, nonce = result.parameters["created"], str(result.parameters["keyid"]), result.nonce
    if nonce is None or not 16 <= len(nonce) <= 64:
        _reject("A signed request needs a nonce of 16 to 64 characters.")
    if not moment - MAX_AGE_S <= int(created) <= moment + MAX_AHEAD_S:
        raise ClockOff(
            f"The request was signed at {_moment(int(created))}, and it is {_moment(moment)} here.",
            server_time=int(moment),
        )
    nonces.use(key_id, nonce, int(created), moment)
    return key_id


def sign_answer(
    identity: Identity,
    household: str,
    request_headers: Headers,
    status: int,
    headers: Headers,
    body: bytes | None,
    *,
    now: float | None = None,
) -> dict[str, str]:
    """The headers to add to the answer to a signed request.

    Args:
        request_headers: of the request, with its `Signature`: the answer belongs to it and to no other.
        headers: the answer's; `content-type` is signed.
        body: whole; None for a stream, whose events are signed at its end (`EventChain`).

    Raises:
        SignatureRejected: the request was not signed.
    """
    message = _answer(request_headers, status, headers)
    return _sign(identity, household, message, _answer_covers(message, body), body, now=now)


def verify_answer(
    server: PublicIdentity,
    household: str,
    request_headers: Headers,
    status: int,
    headers: Headers,
    body: bytes | None,
) -> None:
    """Whether this server gave this answer to this request. How old it is does not matter: a request is signed once.

    Args:
        request_headers: as they were sent, with `Signature`.
        body: whole; None for a stream.

    Raises:
        SignatureRejected: somebody else wrote it, or altered it, or it answers another request.
    """
    message = _answer(request_headers, status, headers)
    keys = _Keys(lambda key_id: server if key_id == server.id else None)
    _verify(keys, household, message, _answer_covers(message, body), body)


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
        start = f"{household}\n{_signature_of(request_headers)}"
        self._hash = hashlib.sha256(_CHAIN + start.encode("latin-1", "replace")).digest()
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
            _reject("The stream's signature is another server's, or events are missing.")
        try:
            given = from_base64url(signature)
        except ValueError:
            given = b""
        if not server.verifies(given, self._signed()):
            _reject("The stream's events are not those that the server signed.")

    def _signed(self) -> bytes:
        return _CHAIN + self.events.to_bytes(8, "big") + self._hash


@dataclass
class NonceStore:
    """The requests of the last minute, so that none is taken twice. Bounded; safe from any thread.

    Only rightly signed requests get in, so nobody fills it but who may ask. Where it is full, the moments of
    the oldest requests are closed to those who signed them, and to nobody else.

    Args:
        started: Unix time; what was signed earlier may have been taken by this server's former process.
    """

    most: int = MAX_NONCES
    started: float = field(default_factory=time.time)
    _used: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict, repr=False)
    _closed: dict[str, int] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def use(self, key_id: str, nonce: str, created: int, now: float) -> None:
        """
        Raises:
            RequestReplayed: it was used, or may have been.
        """
        with self._lock:
            self._forget(now)
            closed = self._closed.get(key_id, 0)
            if (key_id, nonce) in self._used or created <= closed or created < int(self.started):
                raise RequestReplayed(
                    "This request was taken before, or it was signed before this server started.",
                    server_time=int(now),
                )
            self._used[key_id, nonce] = created
            while len(self._used) > self.most:
                (oldest, _), moment = self._used.popitem(last=False)
                self._closed[oldest] = max(moment, self._closed.get(oldest, 0))

    def __len__(self) -> int:
        return len(self._used)

    def _forget(self, now: float) -> None:
        while self._used:
            entry, created = next(iter(self._used.items()))
            # Whoever is ahead is remembered until his moment has passed as well.
            if created + MAX_AGE_S + MAX_AHEAD_S >= now:
                break
            del self._used[entry]
        if len(self._closed) > 1 and min(self._closed.values()) + MAX_AGE_S < now:
            self._closed = {key: moment for key, moment in self._closed.items() if moment + MAX_AGE_S >= now}


@dataclass
class _Request:
    method: str
    url: str
    headers: dict[str, str]


@dataclass
class _Answer:
    status_code: int
    headers: dict[str, str]
    request: _Request


class _Keys(HTTPSignatureKeyResolver):
    def __init__(self, key_for: KeyFor, own: Identity | None = None) -> None:
        self._key_for = key_for
        self._own = own
        self.unknown = False

    def resolve_public_key(self, key_id: str) -> Any:
        identity = self._key_for(key_id)
        # A key id that means another key would make one device speak as another.
        self.unknown = identity is None or identity.id != key_id
        return None if identity is None or self.unknown else identity.signing_key

    def resolve_private_key(self, key_id: str) -> Any:
        return None if self._own is None else self._own.signing_key


class _Verifier(HTTPMessageVerifier):
    """The library checks time against this machine's clock and tells no time: `verify_request` does both."""

    def validate_created_and_expires(self, sig_input: Any, max_age: timedelta | None = None) -> None:
        created = sig_input.params.get("created")
        if type(created) is not int or not 0 <= created <= 2**40:
            _reject("A signature needs the moment it was made, created.")


def _sign(
    identity: Identity,
    household: str,
    message: _Request | _Answer,
    covered: Iterable[str],
    body: bytes | None,
    *,
    now: float | None,
    nonce: str | None = None,
) -> dict[str, str]:
    before = set(message.headers)
    signer = HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=_Keys(lambda _: None, identity))
    try:
        signer.sign(
            message,
            key_id=identity.id,
            created=datetime.fromtimestamp(time.time() if now is None else now, UTC),
            nonce=nonce,
            label=LABEL,
            tag=household,
            covered_component_ids=tuple(covered),
            body=body,
        )
    except (HTTPMessageSignaturesException, ValueError) as error:
        raise SignatureRejected(f"This cannot be signed: {error}.") from None
    return {name: value for name, value in message.headers.items() if name not in before}


def _verify(
    keys: _Keys, household: str, message: _Request | _Answer, required: Iterable[str], body: bytes | None
) -> VerifyResult:
    try:
        results = _Verifier(signature_algorithm=ED25519, key_resolver=keys).verify(
            message, require_components=tuple(required), body=body, max_age=None
        )
    except SignatureRejected:
        raise
    # The library parses what strangers sent; whatever it stumbles over is no signature.
    except Exception:
        if keys.unknown:
            raise SignatureRejected(
                "Nobody with this key may ask here.",
                hint="Pair this device, or pair it anew if it was revoked.",
                code="unknown_key",
            ) from None
        _reject("The signature is missing, or it is not of this message.")
    if results[0].parameters.get("tag") != household:
        raise SignatureRejected(
            "The signature is for another household.",
            hint="This device is paired with another desktop.",
            code="wrong_household",
        )
    return results[0]


def _answer(request_headers: Headers, status: int, headers: Headers) -> _Answer:
    signed = {"signature": _signature_of(request_headers)}
    return _Answer(status, dict(headers), _Request("GET", _absolute("/"), signed))


def _answer_covers(message: _Answer, body: bytes | None) -> tuple[str, ...]:
    typed = any(name.lower() == "content-type" for name in message.headers)
    return (
        "@status",
        '"signature";req',
        *(("content-type",) if typed else ()),
        *(() if body is None else ("content-digest",)),
    )


def _covered_headers(headers: Headers) -> tuple[str, ...]:
    present = {name.lower() for name in headers}
    return tuple(name for name in COVERED_HEADERS if name in present)


def _signature_of(headers: Headers) -> str:
    signatures = [value for name, value in headers.items() if name.lower() == "signature"]
    if not signatures:
        _reject("The request was not signed.")
    return signatures[0]


def _absolute(url: str) -> str:
    """The library wants a host; which one is not signed.

    Raises:
        SignatureRejected: this is no URL.
    """
    if not url.startswith("/"):
        try:
            parts = urlsplit(url)
        except ValueError:
            _reject("The URL of a signed request is none.")
        url = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return f"http://household{url}"


def _moment(unix: float) -> str:
    return datetime.fromtimestamp(min(unix, 2**37), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _reject(message: str) -> NoReturn:
    raise SignatureRejected(message) from None
