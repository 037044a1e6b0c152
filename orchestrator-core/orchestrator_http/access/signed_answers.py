"""Answers to signed requests are signed as well: whole ones by their digest, streams of events at their end."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from flask import Response, g, request
from orchestrator_core.errors import TierLost
from orchestrator_core.event_stream import EventReader
from orchestrator_relay.identity.machine import Identity

from orchestrator_http import sse
from orchestrator_http.access.keys import Caller
from orchestrator_http.api import EVENTS
from orchestrator_http.services import Services

if TYPE_CHECKING:
    from orchestrator_relay.identity.event_chain import EventChain

MAX_WHOLE_BYTES = 32 * 1024 * 1024
"""A longer body that is no stream of events goes out as it comes, and its digest is not signed."""

LOOK_S = 1.0
"""How often a stream looks whether its device was revoked, when something is sent: a ping, at the latest."""


def sign(services: Services, response: Response) -> Response:
    """The response, signed when it answers a rightly signed request; else as it is."""
    if not g.get("sign_answer"):
        return response
    from orchestrator_relay.identity.event_chain import EventChain

    household = services.household.public
    assert household is not None  # it vouched for who signed
    identity, asked = services.household.identity, dict(request.headers)
    if response.mimetype == EVENTS and response.is_streamed:
        chain = EventChain(household.id, asked)
        parts = _while_welcome(services, g.caller, response.iter_encoded())
        response.response = _chained(response.response, parts, chain, identity)
        return _with_signature(response, identity, household.id, asked, None)
    body = b"" if request.method == "HEAD" or response.status_code in (204, 304) else _whole(response)
    return _with_signature(response, identity, household.id, asked, body)


def _with_signature(
    response: Response, identity: Identity, household: str, asked: Mapping[str, str], body: bytes | None
) -> Response:
    from orchestrator_relay.identity.signatures import sign_answer

    # A digest that another tier computed is over the same bytes, or it is wrong.
    for name in ("Content-Digest", "Signature", "Signature-Input"):
        response.headers.pop(name, None)
    headers = sign_answer(identity, household, asked, response.status_code, dict(response.headers), body)
    response.headers.extend(headers)
    return response


def _whole(response: Response) -> bytes | None:
    """The body; None when it is too long, and then nothing of it is lost.

    Raises:
        TierLost: it came from the other tier, and broke off.
    """
    if not response.is_streamed:
        return bytes(response.get_data())
    source, parts = response.response, response.iter_encoded()
    taken: list[bytes] = []
    size = 0
    try:
        for part in parts:
            taken.append(part)
            size += len(part)
            if size > MAX_WHOLE_BYTES:
                response.response = _rejoined(taken, parts, source)
                return None
    except BrokenPipeError:
        raise TierLost("The desktop was lost in the middle of its answer.", hint="Ask again.") from None
    _close(source)
    body = b"".join(taken)
    response.set_data(body)
    return body


def _rejoined(taken: list[bytes], rest: Iterator[bytes], source: object) -> Iterator[bytes]:
    try:
        yield from taken
        yield from rest
    finally:
        _close(source)


def _while_welcome(services: Services, caller: Caller | None, parts: Iterable[bytes]) -> Iterator[bytes]:
    """
    Raises:
        BrokenPipeError: the device was revoked; the connection is cut.
    """
    looked = time.monotonic()
    for part in parts:
        yield part
        if caller is not None and caller.kind == "device" and time.monotonic() - looked >= LOOK_S:
            looked = time.monotonic()
            if services.household.devices.is_revoked(caller.id):
                raise BrokenPipeError(errno.EPIPE, "the device was revoked")


def _chained(
    source: object, parts: Iterable[bytes], chain: EventChain, identity: Identity
) -> Iterator[bytes]:
    """The stream, and a last event that signs all others. One that breaks off gets none."""
    from orchestrator_relay.identity.event_chain import SIGNATURE_EVENT

    reader = EventReader()
    try:
        for part in parts:
            yield part
            for event in reader.feed(part):
                chain.add(event.data, event="" if event.name == "message" else event.name, id=event.event_id)
        yield sse.frame(chain.sign(identity), event=SIGNATURE_EVENT)
    finally:
        _close(source)


def _close(parts: object) -> None:
    close = getattr(parts, "close", None)
    if close is not None:
        close()
