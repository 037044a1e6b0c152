"""What is written as JSON in a frame, and the checks on it.

Covered: sizes, types, and that no header can carry a line break or become another header.
Not covered: what a header means; the two HTTP ends decide that.
Unknown fields are left alone, so that a later version may add some.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator_relay.errors import BadFrame
from orchestrator_relay.frames import PROTOCOL

MAX_HEADERS = 200
MAX_BODY_BYTES = 64 * 1024 * 1024
"""Of a request; what a server accepts is less, and its own affair."""

HeaderName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")]
HeaderValue = Annotated[str, Field(max_length=32 * 1024, pattern=r"^[\t\x20-\x7e\x80-\xff]*$")]
"""Latin-1 without control characters, as HTTP/1.1 carries it."""

SEALED_PATH = "/sealed"
SEALED_TYPE = "application/vnd.orchestrator.sealed"

Headers = Annotated[tuple[tuple[HeaderName, HeaderValue], ...], Field(max_length=MAX_HEADERS)]
Name = Annotated[str, Field(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, Field(max_length=2000)]
PublicKeys = Annotated[str, Field(pattern=r"^(?:[A-Za-z0-9_-]{86})?$")]
""""" from a tier that tells none."""
Address = Annotated[str, Field(max_length=64, pattern=r"^[0-9A-Fa-f:.]*$")]
"""Of IP; "" or None when it is not known."""


class Head(BaseModel):
    """Base of all: bytes in, bytes out, and `BadFrame` for whatever is wrong."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def pack(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode("utf-8")

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """
        Raises:
            BadFrame: not JSON, or a field is missing or wrong.
        """
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "payload"
            raise BadFrame(f"a {cls.__name__} whose {where} is wrong: {first['msg']}") from None


class RequestHead(Head):
    """
    Args:
        target: path with query, as in a request line.
        headers: as they came, without those of one hop (RFC 9110 §7.6.1).
        body: bytes that follow in BODY frames.
        address: of the client, for the log of whoever answers.
    """

    method: Annotated[str, Field(pattern=r"^[A-Z]{1,32}$")]
    target: Annotated[str, Field(max_length=16 * 1024, pattern=r"^/[\x21-\x7e]*$")]
    headers: Headers = ()
    body: Annotated[int, Field(ge=0, le=MAX_BODY_BYTES)] = 0
    address: Address = ""


class ResponseHead(Head):
    status: Annotated[int, Field(ge=200, le=599)]
    headers: Headers = ()


class Status(Head):
    """How the sender of a PING or PONG is doing.

    Args:
        queue: answers waiting there for a free place.
        ready: it can answer, and has exchanged memories on this connection.
        elsewhere: told to a desktop: from where its credential was used last beside this connection.
    """

    queue: Annotated[int, Field(ge=0, le=10**9)] = 0
    ready: bool = False
    elsewhere: Address | None = None


class Hello(Head):
    """The first frame, by the side that dialled. Who it is, its credential has said before.

    Args:
        replica: id of its memory.
        max_streams: requests it serves at once.
        identity: its public keys (`PublicIdentity.text`); the source's are the household's.
    """

    protocol: int = PROTOCOL
    name: Name = ""
    replica: Name = ""
    version: Name = ""
    max_streams: Annotated[int, Field(ge=1, le=65536)] = 256
    identity: PublicKeys = ""


class Welcome(Head):
    """The answer to HELLO.

    Args:
        tier: how the other side labels its own answers.
        role: `source`, or `extra` for a desktop that only lends its model.
        heartbeat_s, silence_s: what the other side does; both ends may have their own.
        address: from where this connection comes, as the VPS sees it.
        before: from where the same credential was used last, when that was another place.
        identity: its public keys, as in HELLO.
    """

    protocol: int = PROTOCOL
    tier: Name = "vps"
    role: Name = "source"
    replica: Name = ""
    version: Name = ""
    heartbeat_s: Annotated[float, Field(gt=0, le=3600)] = 2.0
    silence_s: Annotated[float, Field(gt=0, le=3600)] = 6.0
    address: Address | None = None
    before: Address | None = None
    identity: PublicKeys = ""


class Goodbye(Head):
    """The last frame: why the connection ends.

    Args:
        code: for programs; docs/relay.md lists them.
        message: for people.
        address: of a duplicate: from where the connection comes that lives.
    """

    code: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
    message: Text = ""
    address: Address | None = None


REVOKED = "revoked"
"""The credential is no longer valid: do not come back with it."""
DUPLICATE = "duplicate"
"""This desktop is connected already, and that connection lives."""
REPLACED = "replaced"
"""The same desktop has dialled anew."""
REFUSED = "refused"
"""This desktop may not connect (another one is the source of truth)."""
VERSION = "version"
"""The two sides speak different protocols."""
STOPPING = "stopping"
"""The side that says so is being stopped or restarted."""
PROTOCOL_ERROR = "protocol"
"""The other side sent what it may not."""
SILENT = "silent"
"""Nothing was heard for too long."""
LOST = "lost"
"""The socket was closed without a word. Never sent."""
