"""Signed requests and answers: RFC 9421 HTTP Message Signatures with RFC 9530 digests, Ed25519.

A request is signed over `@method`, `@path`, `@query`, `content-digest` and those of `COVERED_HEADERS` that it
has, with `created`, `nonce`, `keyid` (the signer's id), `alg` and `tag` (the household's id). An answer is signed over
`@status`, its `content-digest`, its `content-type` and the `signature` of its request. A stream is signed at its end,
over a chain of all its events (`event_chain`).

Covered: alteration, truncation, replay, another household, another key, a clock that is off.
Not covered: secrecy (`sealing`, or TLS); whoever relays a request may delay it by `MAX_AGE_S` or drop it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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

from orchestrator_relay.errors import ClockOff, SignatureRejected
from orchestrator_relay.identity.machine import Identity, PublicIdentity
from orchestrator_relay.identity.nonces import MAX_AGE_S, MAX_AHEAD_S, NonceStore

COVERED_HEADERS = ("content-type", "if-match", "if-none-match", "last-event-id", "range")
"""Headers that change what a request does: covered when there, and refused when there and not covered."""

LABEL = "orchestrator"
_REQUEST = ("@method", "@path", "@query", "content-digest")

Headers = Mapping[str, str]
KeyFor = Callable[[str], PublicIdentity | None]
"""The identity that a key id stands for; None when nobody with this id may ask (any more)."""


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
        body: whole; None for a stream, whose events are signed at its end (`event_chain`).

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
    signed = {"signature": signature_of(request_headers)}
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


def signature_of(headers: Headers) -> str:
    """The `Signature` header of a signed request: what an answer, or the events of a stream, belong to.

    Raises:
        SignatureRejected: the request was not signed.
    """
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
