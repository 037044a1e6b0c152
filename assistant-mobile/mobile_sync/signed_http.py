"""Requests of a paired device, for `requests`: signed, sealed where the road is readable, and their answers verified.

A session of `session_for` is used like any other. Everything it sends is signed with the device's key; over plain HTTP
beyond this machine it travels through `POST /sealed` (docs/identity.md). Everything it returns was signed by the server that was
meant, for this request: of a stream of events each event can be read as it comes, and the end is checked.

Covered: hosts that pretend to be a server, what is altered, cut off or replayed on the way, a clock that is off.
Not covered: the events of a stream that breaks off (over plain HTTP each is authentic all the same; else TLS says so).
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from orchestrator_core.event_stream import EventReader, EventTooLong
from orchestrator_core.streamed_http import pieces
from orchestrator_relay.errors import RelayError
from orchestrator_relay.identity.event_chain import SIGNATURE_EVENT, EventChain
from orchestrator_relay.identity.machine import Identity, PublicIdentity
from orchestrator_relay.identity.pinning import PinnedAdapter
from orchestrator_relay.identity.sealing import MEDIA_TYPE, PATH, AnswerOpener, seal_request
from orchestrator_relay.identity.signatures import sign_request, verify_answer
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.structures import CaseInsensitiveDict

EVENTS = "text/event-stream"
MAX_BODY_BYTES = 64 * 1024 * 1024
"""Of an answer that is no stream: it is read whole before anything of it is believed."""

_OF_THE_ROAD = frozenset({"host", "connection", "content-length", "accept-encoding", "user-agent"})


class AnswerRejected(requests.ConnectionError):
    """Whoever answered is not the server that was meant, or the answer was altered: as good as no answer."""


@dataclass(frozen=True)
class Signer:
    """
    Args:
        identity: this device's.
        household: id of the household.
        server: who must answer; None: whoever TLS vouches for, and then answers are not verified.
    """

    identity: Identity
    household: str
    server: PublicIdentity | None


def session_for(signer: Signer, certificate: str | None = None) -> requests.Session:
    """A session to one server, whatever its addresses are.

    Args:
        certificate: the one to trust (PEM); None: what the system trusts.
    """
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", SignedAdapter(signer, HTTPAdapter()))
    session.mount(
        "https://", SignedAdapter(signer, PinnedAdapter(certificate) if certificate else HTTPAdapter())
    )
    return session


def is_readable(url: str) -> bool:
    """Whether others on the way could read what is sent there: plain HTTP that leaves this machine."""
    parts = urlsplit(url)
    try:
        loopback = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        loopback = parts.hostname == "localhost"
    return parts.scheme != "https" and not loopback


class SignedAdapter(BaseAdapter):
    """
    Raises (from `send`, and from reading the body):
        AnswerRejected, and what `inner` raises.
    """

    def __init__(self, signer: Signer, inner: HTTPAdapter) -> None:
        super().__init__()
        self._signer = signer
        self._inner = inner
        self._clock_off_s = 0.0

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        options = {"timeout": timeout, "verify": verify, "cert": cert, "proxies": proxies}
        response = self._exchange(request, options)
        if response.status_code == 401 and (server_time := _server_time(response)) is not None:
            self._clock_off_s = server_time - time.time()
            response = self._exchange(request, options)
        if not stream:
            _ = response.content
        return response

    def close(self) -> None:
        self._inner.close()

    def _exchange(self, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        signer, url = self._signer, str(request.url)
        body = _bytes(request.body)
        sent = {
            name: value for name, value in dict(request.headers).items() if name.lower() not in _OF_THE_ROAD
        }
        now = time.time() + self._clock_off_s
        sent |= sign_request(signer.identity, signer.household, str(request.method), url, sent, body, now=now)
        if is_readable(url):
            answer = self._sealed(request, sent, body, options)
        else:
            answer = self._plain(request, sent, body, options)
        return _verified(answer, signer, sent, request)

    def _plain(
        self, request: requests.PreparedRequest, headers: dict[str, str], body: bytes, options: dict[str, Any]
    ) -> _Answer:
        signed = request.copy()
        signed.headers.update(headers)
        response = self._inner.send(signed, stream=True, **options)
        return _Answer(response.status_code, response.headers, pieces(response), response)

    def _sealed(
        self, request: requests.PreparedRequest, headers: dict[str, str], body: bytes, options: dict[str, Any]
    ) -> _Answer:
        parts = urlsplit(str(request.url))
        target = request.path_url
        server = self._signer.server
        if server is None:
            raise AnswerRejected("Without the server's keys nothing is sent where others could read it.")
        try:
            sealed, opener = seal_request(server, str(request.method), target, list(headers.items()), body)
        except RelayError as error:
            raise requests.exceptions.InvalidHeader(str(error)) from error
        outer = requests.Request(
            "POST",
            f"{parts.scheme}://{parts.netloc}{PATH}",
            data=sealed,
            headers={"Content-Type": MEDIA_TYPE},
        ).prepare()
        response = self._inner.send(outer, stream=True, **options)
        if response.headers.get("Content-Type", "").partition(";")[0] != MEDIA_TYPE:
            response.close()
            raise AnswerRejected(f"Not the household's server (it answered {response.status_code}).")
        opened = _opened(response, opener)
        next(opened)  # up to the head
        assert opener.head is not None
        head = CaseInsensitiveDict(opener.head.headers)
        return _Answer(opener.head.status, head, opened, response)


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    parts: Iterator[bytes]
    response: requests.Response


def _opened(response: requests.Response, opener: AnswerOpener) -> Iterator[bytes]:
    """The body; first b"" as soon as the head is there."""
    begun = False
    try:
        for piece in pieces(response):
            body = opener.feed(piece)
            if not begun and opener.head is not None:
                begun = True
                yield b""
            if body:
                yield body
        opener.finish()
    except RelayError as error:
        raise AnswerRejected(str(error)) from error


def _verified(
    answer: _Answer, signer: Signer, sent: Mapping[str, str], request: requests.PreparedRequest
) -> requests.Response:
    """The answer as `requests` knows it; nothing of it that the server did not sign."""
    events = answer.headers.get("Content-Type", "").partition(";")[0] == EVENTS
    if signer.server is None:
        return _response(answer, request, answer.parts)
    try:
        body = None if events else _whole(answer.parts, request.method)
        verify_answer(signer.server, signer.household, sent, answer.status, dict(answer.headers), body)
        parts = (
            _chained(answer.parts, signer.server, signer.household, sent) if events else iter([body or b""])
        )
    except RelayError as error:
        answer.response.close()
        raise AnswerRejected(str(error)) from error
    except BaseException:
        answer.response.close()
        raise
    return _response(answer, request, parts)


def _response(
    answer: _Answer, request: requests.PreparedRequest, parts: Iterator[bytes]
) -> requests.Response:
    response = requests.Response()
    response.status_code = answer.status
    response.headers = CaseInsensitiveDict(answer.headers)
    response.url = str(request.url)
    response.request = request
    response.encoding = requests.utils.get_encoding_from_headers(response.headers)
    response.raw = _VerifiedBody(parts, answer.response)
    return response


def _whole(parts: Iterable[bytes], method: str | None) -> bytes:
    taken, size = [], 0
    for part in parts:
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise AnswerRejected("The answer is longer than any that is meant.")
        taken.append(part)
    return b"".join(taken)


def _chained(
    parts: Iterable[bytes], server: PublicIdentity, household: str, sent: Mapping[str, str]
) -> Iterator[bytes]:
    chain, reader, ended = EventChain(household, sent), EventReader(), False
    try:
        for part in parts:
            for event in reader.feed(part):
                if ended:
                    raise AnswerRejected("Something follows the end of the stream.")
                if event.name == SIGNATURE_EVENT:
                    chain.verify(server, event.data)
                    ended = True
                else:
                    name = "" if event.name == "message" else event.name
                    chain.add(event.data, event=name, id=event.event_id)
            yield part
    except (RelayError, EventTooLong) as error:
        raise AnswerRejected(str(error)) from error
    if not ended:
        raise AnswerRejected("The stream was cut off before its end.")


class _VerifiedBody:
    """What `requests`, and `streamed_http`, expect of a response's body."""

    def __init__(self, parts: Iterator[bytes], source: requests.Response) -> None:
        self._parts = parts
        self._source = source
        self._rest = b""

    def read1(self, amount: int = -1, decode_content: bool | None = None) -> bytes:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                self._source.close()
                return b""
            self._rest = part
        cut = len(self._rest) if amount < 0 else amount
        data, self._rest = self._rest[:cut], self._rest[cut:]
        return data

    def stream(self, amount: int = 65536, decode_content: bool | None = None) -> Iterator[bytes]:
        while data := self.read1(amount or -1):
            yield data

    def shutdown(self) -> None:
        self._source.raw.shutdown()

    def close(self) -> None:
        self._source.close()

    def release_conn(self) -> None:
        self._source.close()


def _server_time(response: requests.Response) -> int | None:
    """Of a refusal that the server signed: what its clock says, when ours is off."""
    try:
        value = response.json()["error"]["server_time"]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _bytes(body: object) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode("utf-8")
    if isinstance(body, bytes):
        return body
    raise requests.exceptions.InvalidHeader("A signed request has a whole body, in memory.")
