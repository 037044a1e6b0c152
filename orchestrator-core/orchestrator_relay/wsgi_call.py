"""Answers a request that came over the relay with a WSGI app of this process.

Covered: the app sees a request as from a server on loopback; that it was relayed is told in the environ,
where no HTTP client can write; header names that would collide in the environ are dropped.
Not covered: who may ask. The other tier has checked its client's key, Host and Origin; the
client's credentials are for that tier and are not handed to the app.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from orchestrator_relay.frames import CHUNK_BYTES
from orchestrator_relay.heads import RequestHead
from orchestrator_relay.server_stream import RequestBody, ServedResponse

RELAYED = "orchestrator.relayed"
"""True in the environ of a relayed request; absent in every other one."""

HOST = "localhost"

_OWN = frozenset({"host", "content-type", "content-length", "transfer-encoding"})
"""Headers that are not copied: this module sets them."""

_NOT_HANDED_ON = frozenset({"authorization", "proxy-authorization", "cookie", "origin"})
"""Meant for the tier that was called. It has compared Origin with the name it was called by."""

StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class WsgiCall:
    """A `Serve` for `RelayConnection`.

    Args:
        app: called from many threads at once.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, head: RequestHead, body: RequestBody) -> ServedResponse:
        response = _Response()
        parts = self._app(environ(head, body), response.start)
        try:
            rest = iter(parts)
            first = [] if response.started else _until_started(rest, response)
            status, headers = response.head()
        except BaseException:
            _close(parts)
            raise
        return ServedResponse(status, headers, _Parts(parts, response.written, first, rest))


def is_relayed(environ: Mapping[str, Any]) -> bool:
    return environ.get(RELAYED) is True


def environ(head: RequestHead, body: RequestBody) -> dict[str, Any]:
    """The WSGI environ (PEP 3333) for a request."""
    path, _, query = head.target.partition("?")
    made: dict[str, Any] = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": head.target,
        "SERVER_NAME": HOST,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": head.address or "127.0.0.1",
        "HTTP_HOST": HOST,
        "CONTENT_LENGTH": str(head.body),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BufferedReader(body, CHUNK_BYTES),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "waitress.client_disconnected": body.gone,
        RELAYED: True,
    }
    for name, value in head.headers:
        key = _key(name)
        if key is not None:
            made[key] = f"{made[key]}, {value}" if key in made and key != "CONTENT_TYPE" else value
    return made


def _key(name: str) -> str | None:
    lower = name.lower()
    if lower == "content-type":
        return "CONTENT_TYPE"
    if lower in _OWN or lower in _NOT_HANDED_ON or "_" in name:
        return None
    return "HTTP_" + lower.upper().replace("-", "_")


class _Response:
    """What an app says through `start_response`."""

    def __init__(self) -> None:
        self.started = False
        self.written: list[bytes] = []
        self._status = ""
        self._headers: list[tuple[str, str]] = []

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        if self.started and exc_info is None:
            raise RuntimeError("The app called start_response twice.")
        self.started = True
        self._status, self._headers = status, headers
        return self.written.append

    def head(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        if not self.started:
            raise RuntimeError("The app never called start_response.")
        return int(self._status.split(" ", 1)[0]), tuple(self._headers)


class _Parts:
    """The app's answer, with what it gave before its head was known; closing it closes the app's."""

    def __init__(
        self, parts: Iterable[bytes], written: list[bytes], first: list[bytes], rest: Iterator[bytes]
    ) -> None:
        self._parts = parts
        self._before = [*written, *first]
        self._rest = rest

    def __iter__(self) -> Iterator[bytes]:
        yield from self._before
        yield from self._rest

    def close(self) -> None:
        _close(self._parts)


def _until_started(rest: Iterator[bytes], response: _Response) -> list[bytes]:
    """An app that is a generator calls `start_response` when its first part is taken."""
    first = []
    while not response.started:
        try:
            first.append(next(rest))
        except StopIteration:
            break
    return first


def _close(parts: object) -> None:
    close = getattr(parts, "close", None)
    if close is not None:
        close()
