"""A push service of the tests' own (RFC 8030) with its subscribers: checks signatures, decrypts, and misbehaves."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02

Misbehaviour = Callable[[BaseHTTPRequestHandler], None]
"""Answers a request in the place of 201; the subscriber gets nothing."""


def status(code: int, **headers: str) -> Misbehaviour:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def dribble(handler: BaseHTTPRequestHandler) -> None:
    """One byte of the head at a time, for as long as anybody listens."""
    try:
        while True:
            handler.wfile.write(b"H")
            time.sleep(0.05)
    except OSError:
        pass


@dataclass
class Subscriber:
    """A client: its keys, and what it got."""

    endpoint: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = b"sixteen bytes ok"
    messages: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As `PushSubscription.toJSON()` gives it."""
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": _encoded(point), "auth": _encoded(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}


class PushService:
    """Listens on loopback. `faults` are used up first, one for each request."""

    def __init__(self) -> None:
        self.public_key = ""
        """Of the server that may send; its VAPID token is checked against it."""
        self.requests = 0
        self.refusals: list[str] = []
        self.faults: deque[Misbehaviour] = deque()
        self.subscribers: dict[str, Subscriber] = {}
        self._changed = threading.Condition()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                service._take(self)

            def log_message(self, *arguments: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def subscriber(self, name: str = "phone") -> Subscriber:
        self.subscribers[f"/push/{name}"] = Subscriber(f"{self.origin}/push/{name}")
        return self.subscribers[f"/push/{name}"]

    def wait(self, condition: Callable[[], bool], timeout: float = 20.0) -> bool:
        """Until it holds; it is looked at after each request."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        with self._changed:
            self.requests += 1
            fault = self.faults.popleft() if self.faults else None
            if fault is None:
                fault = self._delivered(handler, body)
            self._changed.notify_all()
        fault(handler)

    def _delivered(self, handler: BaseHTTPRequestHandler, body: bytes) -> Misbehaviour:
        to = self.subscribers.get(handler.path)
        try:
            self._check(handler)
            if to is None:
                return status(404)
            plain = http_ece.decrypt(body, private_key=to.key, auth_secret=to.auth, version="aes128gcm")
            to.messages.append(json.loads(plain))
            to.headers.append({name.lower(): value for name, value in handler.headers.items()})
        except Exception as error:
            self.refusals.append(repr(error))
            return status(403)
        return status(201, Location=f"{self.origin}/message/1")

    def _check(self, handler: BaseHTTPRequestHandler) -> None:
        token, _, key = handler.headers["Authorization"].removeprefix("vapid t=").partition(",k=")
        assert key == self.public_key, "another key than the subscription's"
        assert Vapid02.verify(auth=handler.headers["Authorization"]), "the token is not signed"
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert claims["aud"] == self.origin, claims
        assert time.time() < claims["exp"] <= time.time() + 24 * 3600, claims
        assert claims["sub"].startswith(("mailto:", "https:")), claims
        assert int(handler.headers["TTL"]) > 0
        assert handler.headers["Content-Encoding"] == "aes128gcm"
        assert len(handler.headers["Topic"]) <= 32


@contextmanager
def push_service() -> Iterator[PushService]:
    service = PushService()
    try:
        yield service
    finally:
        service.close()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
