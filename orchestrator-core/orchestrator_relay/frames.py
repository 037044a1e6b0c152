"""The frames of a relay connection, as bytes. Knows nothing of sockets or of order.

    +--------+------------------+-------------------+
    | kind   | stream           | payload           |
    | 1 byte | 4 bytes, big end | to the end        |
    +--------+------------------+-------------------+

One WebSocket message holds one frame, so a frame needs no length. Stream 0 is the connection itself.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from orchestrator_relay.errors import BadFrame

PROTOCOL = 1
"""Both sides name it in their greeting; another number is refused."""

CHUNK_BYTES = 16 * 1024
"""Largest payload of a body or chunk frame. Small enough that a token waits for no more than a
few milliseconds behind another stream's download, even on a slow line."""

HEAD_BYTES = 64 * 1024
"""Largest payload of every other frame: a request or answer head, mostly."""

MAX_FRAME_BYTES = 5 + HEAD_BYTES

MAX_STREAM = 2**32 - 1

_HEADER = struct.Struct(">BI")
_CREDIT = struct.Struct(">I")
_PING = struct.Struct(">I")


class FrameKind(IntEnum):
    """
    Of the connection (stream 0): HELLO, WELCOME, PING, PONG, NOTICE, SYNCED, GOODBYE.
    Of a stream (1 and up): REQUEST, BODY, HEAD, CHUNK, END, CANCEL, CREDIT.
    """

    HELLO = 0x01
    WELCOME = 0x02
    PING = 0x03
    PONG = 0x04
    NOTICE = 0x05
    SYNCED = 0x06
    GOODBYE = 0x07
    REQUEST = 0x10
    BODY = 0x11
    HEAD = 0x12
    CHUNK = 0x13
    END = 0x14
    CANCEL = 0x15
    CREDIT = 0x16


class End(IntEnum):
    """Why a body has no more bytes; the payload of an END frame.

    WHOLE: that was all of it.
    BROKEN: the sender failed half-way; what came is not all of it.
    REFUSED: too many requests at once; this one was not begun, nothing happened.
    """

    WHOLE = 0
    BROKEN = 1
    REFUSED = 2


class Frame(NamedTuple):
    kind: FrameKind
    stream: int
    payload: bytes = b""


_SIZES: dict[FrameKind, tuple[int, int]] = {
    FrameKind.HELLO: (2, HEAD_BYTES),
    FrameKind.WELCOME: (2, HEAD_BYTES),
    FrameKind.PING: (6, HEAD_BYTES),
    FrameKind.PONG: (6, HEAD_BYTES),
    FrameKind.NOTICE: (1, 128),
    FrameKind.SYNCED: (1, 128),
    FrameKind.GOODBYE: (2, HEAD_BYTES),
    FrameKind.REQUEST: (2, HEAD_BYTES),
    FrameKind.BODY: (1, CHUNK_BYTES),
    FrameKind.HEAD: (2, HEAD_BYTES),
    FrameKind.CHUNK: (1, CHUNK_BYTES),
    FrameKind.END: (1, 1),
    FrameKind.CANCEL: (0, 0),
    FrameKind.CREDIT: (4, 4),
}
"""Smallest and largest payload (bytes). An empty body or chunk frame would say nothing and could
be sent without end."""

_KINDS: dict[int, FrameKind] = {int(kind): kind for kind in FrameKind}


def encode(kind: FrameKind, stream: int = 0, payload: bytes | memoryview = b"") -> bytes:
    """
    Raises:
        BadFrame: it would not be decoded.
    """
    _check(kind, stream, len(payload))
    return b"".join((_HEADER.pack(kind, stream), payload))


def decode(message: bytes) -> Frame:
    """
    Raises:
        BadFrame: whatever else the bytes are.
    """
    if len(message) < _HEADER.size:
        raise BadFrame(f"a frame of {len(message)} bytes, which is shorter than its header")
    number, stream = _HEADER.unpack_from(message)
    kind = _KINDS.get(number)
    if kind is None:
        raise BadFrame(f"a frame of the unknown kind 0x{number:02x}")
    _check(kind, stream, len(message) - _HEADER.size)
    return Frame(kind, stream, message[_HEADER.size :])


def encode_credit(stream: int, count: int) -> bytes:
    """`count` more bytes may come on this stream."""
    return encode(FrameKind.CREDIT, stream, _CREDIT.pack(count))


def credit_of(frame: Frame) -> int:
    """
    Raises:
        BadFrame: a credit of nothing.
    """
    count: int = _CREDIT.unpack(frame.payload)[0]
    if count == 0:
        raise BadFrame("a credit of 0 bytes")
    return count


def encode_end(stream: int, end: End = End.WHOLE) -> bytes:
    return encode(FrameKind.END, stream, bytes((end,)))


def end_of(frame: Frame) -> End:
    """
    Raises:
        BadFrame: a reason that is not known.
    """
    try:
        return End(frame.payload[0])
    except ValueError:
        raise BadFrame(f"an end for the unknown reason {frame.payload[0]}") from None


def encode_ping(kind: FrameKind, number: int, status: bytes) -> bytes:
    """A PING, or the PONG that answers it: the same number, and the sender's own status."""
    return encode(kind, 0, _PING.pack(number & MAX_STREAM) + status)


def ping_of(frame: Frame) -> tuple[int, bytes]:
    """Number and status (JSON, see `heads.Status`)."""
    number: int = _PING.unpack_from(frame.payload)[0]
    return number, frame.payload[_PING.size :]


def encode_digest(kind: FrameKind, digest: str) -> bytes:
    """A NOTICE or SYNCED frame.

    Raises:
        BadFrame: empty, longer than 128 bytes, or not ASCII.
    """
    if not digest.isascii():
        raise BadFrame("a state that is not ASCII")
    return encode(kind, 0, digest.encode("ascii"))


def digest_of(frame: Frame) -> str:
    """
    Raises:
        BadFrame: not printable ASCII.
    """
    try:
        digest = frame.payload.decode("ascii")
    except UnicodeDecodeError:
        raise BadFrame("a state that is not ASCII") from None
    if not digest.isprintable():
        raise BadFrame("a state with control characters")
    return digest


def _check(kind: FrameKind, stream: int, size: int) -> None:
    if not 0 <= stream <= MAX_STREAM:
        raise BadFrame(f"the stream number {stream}, which has no place in 4 bytes")
    if (stream == 0) != (kind < FrameKind.REQUEST):
        raise BadFrame(f"a {kind.name} frame on stream {stream}")
    smallest, largest = _SIZES[kind]
    if not smallest <= size <= largest:
        raise BadFrame(f"a {kind.name} frame with {size} bytes, where {smallest} to {largest} may be")
