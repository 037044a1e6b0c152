"""Requests and answers that nobody on the way can read: for plain HTTP, where there is no TLS.

A sealed request is the body of `POST /sealed`, one HPKE message in base mode (RFC 9180: DHKEM X25519 with HKDF-SHA256,
HKDF-SHA256, ChaCha20-Poly1305), `info` = "orchestrator sealed request 1\\n" + the server's id. In it:

    length of the head, 4 bytes, big-endian | head, JSON | body

The head is `{"method", "target", "headers": [[name, value]…], "body": length, "answer": secret}`, where `answer` is 32 random bytes in
base64url. The answer is sealed under it, framed as the response of Chunked Oblivious HTTP (draft-ietf-ohai-chunked-ohttp):

    nonce, 32 bytes | (length, QUIC varint | chunk)… | 0 | last chunk, to the end

with `salt` = the first 32 bytes of the request (`enc`) + nonce, the AEAD's key = HKDF-SHA256(secret, salt, "key", 32), its nonce =
HKDF-SHA256(secret, salt, "nonce", 12) XOR the number of the chunk, from 0, and "final" as the associated data of the last
chunk. The first chunk is `{"status", "headers"}` as JSON; the others together are the body; the last one is empty.

Covered: reading, altering, cutting off, reordering, and answers to other requests.
Not covered: who asks: what is in the seal is signed (`signatures`). Lengths and timing can be seen. A request that was recorded can
be sent again; its signature's nonce makes that useless. A server whose key is stolen later: recorded requests can then be read.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import Field, ValidationError

from orchestrator_relay.errors import AnswerCutShort, BadFrame, SealBroken
from orchestrator_relay.heads import SEALED_PATH, SEALED_TYPE, Headers, RequestHead, ResponseHead
from orchestrator_relay.identity.machine import Identity, PublicIdentity, base64url, from_base64url

PATH, MEDIA_TYPE = SEALED_PATH, SEALED_TYPE
MAX_CHUNK_BYTES = 16 * 1024
"""Of plaintext in one chunk of an answer; longer parts are split."""

OVERHEAD_BYTES = 64 * 1024
"""What a sealed request may be longer than its body: head, and what HPKE adds."""

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_INFO = b"orchestrator sealed request 1\n"
_SECRET_BYTES = _ENC_BYTES = _NONCE_BYTES = 32
_TAG_BYTES = 16
_LENGTH_BYTES = 4
_LARGEST_CHUNK = 64 * 1024
_LAST = b"final"


class _SealedHead(RequestHead):
    answer: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$", repr=False)]


@dataclass(frozen=True)
class OpenedRequest:
    """What was in a sealed request.

    Args:
        target: path with query, as in a request line.
    """

    method: str
    target: str
    headers: Headers
    body: bytes = field(repr=False)


def seal_request(
    server: PublicIdentity,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> tuple[bytes, AnswerOpener]:
    """A request that only this server can read: the body of `POST /sealed` (type `MEDIA_TYPE`), and what opens its answer.

    Args:
        target: path with query, percent-encoded; sign the request with this same target first, and put the
            signature's headers into `headers`.

    Raises:
        SealBroken: method, target or a header is none.
    """
    secret = secrets.token_bytes(_SECRET_BYTES)
    try:
        head = _SealedHead(
            method=method, target=target, headers=tuple(headers), body=len(body), answer=base64url(secret)
        ).pack()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise SealBroken(
            f"This is no request that can be sealed: {first['loc'][0]}: {first['msg']}."
        ) from None
    plain = len(head).to_bytes(_LENGTH_BYTES, "big") + head + body
    try:
        sealed = _SUITE.encrypt(plain, server.sealing_key, _info(server))
    except ValueError:
        raise SealBroken("The server's sealing key is no usable X25519 key.") from None
    return sealed, AnswerOpener(secret, sealed[:_ENC_BYTES])


def open_request(identity: Identity, sealed: bytes) -> tuple[OpenedRequest, AnswerSealer]:
    """What was sealed to this identity, and what seals the answer.

    Raises:
        SealBroken: it was sealed to another key, or altered, or is no request. Says nothing of which.
    """
    try:
        plain = _SUITE.decrypt(sealed, identity.sealing_key, _info(identity.public))
        length = int.from_bytes(plain[:_LENGTH_BYTES], "big")
        head = _SealedHead.unpack(plain[_LENGTH_BYTES : _LENGTH_BYTES + length])
        secret = from_base64url(head.answer)
    except (InvalidTag, ValueError, BadFrame):
        raise _broken() from None
    body = plain[_LENGTH_BYTES + length :]
    if len(body) != head.body:
        raise _broken()
    opened = OpenedRequest(head.method, head.target, head.headers, body)
    return opened, AnswerSealer(secret, sealed[:_ENC_BYTES])


class AnswerSealer:
    """Seals one answer, part by part; send what each call returns, at once."""

    def __init__(self, secret: bytes, enc: bytes) -> None:
        self._nonce = secrets.token_bytes(_NONCE_BYTES)
        self._keys = _ChunkKeys(secret, enc, self._nonce)

    def head(self, status: int, headers: Iterable[tuple[str, str]]) -> bytes:
        """The first part. `headers` are Latin-1 without control characters."""
        plain = ResponseHead(status=status, headers=tuple(headers)).pack()
        return self._nonce + self._framed(plain)

    def part(self, body: bytes) -> bytes:
        """The next bytes of the body, readable for the client as soon as they arrive."""
        pieces = range(0, len(body), MAX_CHUNK_BYTES)
        return b"".join(self._framed(body[at : at + MAX_CHUNK_BYTES]) for at in pieces)

    def end(self) -> bytes:
        """The last part. Not sent when the answer was cut off: then the client must notice."""
        return b"\0" + self._keys.seal(b"", _LAST)

    def _framed(self, plain: bytes) -> bytes:
        sealed = self._keys.seal(plain, b"")
        return _varint(len(sealed)) + sealed


class AnswerOpener:
    """Opens one answer as its bytes arrive. What `feed` returned is authentic and in order, but only `finish` says
    that it was all.
    """

    def __init__(self, secret: bytes, enc: bytes) -> None:
        self._secret, self._enc = secret, enc
        self._keys: _ChunkKeys | None = None
        self._rest = b""
        self._ending = False
        self.head: ResponseHead | None = None
        """Status and headers, once they have arrived."""

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body that can be read now.

        Raises:
            SealBroken: altered, reordered, or the answer to another request.
        """
        self._rest += data
        body = []
        while (chunk := self._next_chunk()) is not None:
            assert self._keys is not None
            plain = self._keys.open(chunk, b"")
            if self.head is None:
                self.head = _response_head(plain)
            else:
                body.append(plain)
        return b"".join(body)

    def finish(self) -> None:
        """The connection has ended.

        Raises:
            AnswerCutShort: before the answer did.
            SealBroken: as `feed`.
        """
        if not self._ending or self._keys is None or self.head is None:
            raise AnswerCutShort("The answer was cut off on its way.")
        if self._keys.open(self._rest, _LAST):
            raise _broken()

    def _next_chunk(self) -> bytes | None:
        if self._keys is None:
            if len(self._rest) < _NONCE_BYTES:
                return None
            self._keys = _ChunkKeys(self._secret, self._enc, self._rest[:_NONCE_BYTES])
            self._rest = self._rest[_NONCE_BYTES:]
        if self._ending or not self._rest:
            if self._ending and len(self._rest) > _TAG_BYTES:
                raise _broken()
            return None
        width = 1 << (self._rest[0] >> 6)
        if len(self._rest) < width:
            return None
        length = int.from_bytes(self._rest[:width], "big") & ((1 << (8 * width - 2)) - 1)
        if length == 0:
            self._rest, self._ending = self._rest[width:], True
            return self._next_chunk()
        if not _TAG_BYTES <= length <= _LARGEST_CHUNK:
            raise _broken()
        if len(self._rest) < width + length:
            return None
        chunk, self._rest = self._rest[width : width + length], self._rest[width + length :]
        return chunk


class _ChunkKeys:
    """The AEAD of one answer in one direction; each chunk has its number for a nonce."""

    def __init__(self, secret: bytes, enc: bytes, nonce: bytes) -> None:
        salt = enc + nonce
        self._aead = ChaCha20Poly1305(HKDF(SHA256(), 32, salt, b"key").derive(secret))
        self._base = int.from_bytes(HKDF(SHA256(), 12, salt, b"nonce").derive(secret), "big")
        self._number = 0

    def seal(self, plain: bytes, associated: bytes) -> bytes:
        return self._aead.encrypt(self._next(), plain, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        try:
            return self._aead.decrypt(self._next(), sealed, associated)
        except (InvalidTag, ValueError):
            raise _broken() from None

    def _next(self) -> bytes:
        number, self._number = self._number, self._number + 1
        return (self._base ^ number).to_bytes(12, "big")


def _info(server: PublicIdentity) -> bytes:
    return _INFO + server.id.encode("ascii")


def _varint(number: int) -> bytes:
    """RFC 9000 §16, for what a chunk can be long."""
    for width, prefix in ((1, 0), (2, 1), (4, 2)):
        if number < 1 << (8 * width - 2):
            return (number | prefix << (8 * width - 2)).to_bytes(width, "big")
    raise ValueError(f"{number} is too long for a chunk")


def _response_head(plain: bytes) -> ResponseHead:
    try:
        return ResponseHead.unpack(plain)
    except BadFrame:
        raise _broken() from None


def _broken() -> SealBroken:
    return SealBroken(
        "This was not sealed to this key for this purpose, or it was altered on its way.",
        hint="Pair this device anew if the server's keys are new.",
    )
