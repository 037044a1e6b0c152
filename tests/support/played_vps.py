"""A VPS as far as a desktop sees it, in this process: real sockets, real TLS, a real replica."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from flask import Flask, Response, request
from orchestrator_relay import greeting
from orchestrator_relay.accept import accept
from orchestrator_relay.connection import RelayConnection
from orchestrator_relay.heads import Hello, Welcome
from orchestrator_relay.message_socket import MessageSocket
from shared_context.exchange.exchange import answer
from shared_context.exchange.replica import Replica
from shared_context.exchange.wire import SyncRequest
from werkzeug.serving import WSGIRequestHandler, make_server

CODE = "GOOD-CODE"
CREDENTIAL = "secret-of-this-desktop"
PATIENCE_S = 20.0


@dataclass
class Certificate:
    """Self-signed, for localhost."""

    certificate: Path
    key: Path

    @property
    def pem(self) -> str:
        return self.certificate.read_text()


def self_signed(folder: Path, name: str = "vps") -> Certificate:
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    files = ["-nodes", "-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run([*command, *files, "-days", "2", "-subj", f"/CN={name}"], check=True, capture_output=True)
    return made


class PlayedVps:
    """
    Args:
        replica: its memory; without one there is no `/sync`.
        certificate: for https; None: plain HTTP.
        relay: options of the connections.
    """

    def __init__(
        self, replica: Replica | None = None, certificate: Certificate | None = None, **relay: Any
    ) -> None:
        self.connections: queue.SimpleQueue[tuple[Hello, RelayConnection]] = queue.SimpleQueue()
        self.enrolled: list[dict[str, Any]] = []
        self.dials = 0
        self.exchanges = 0
        self.synced: list[str] = []
        self.revoked = False
        self.refusal: tuple[str, str] | None = None
        """Code and message of the GOODBYE that every greeting gets."""
        self.handle: Callable[[MessageSocket], None] = self._greet
        """What is done with a socket that was dialled."""
        self.exchange_status = 200
        self._replica = replica
        self._relay = relay
        self._open: list[RelayConnection] = []
        context = (str(certificate.certificate), str(certificate.key)) if certificate else None
        self._server = make_server(
            "127.0.0.1", 0, self._app(), threaded=True, ssl_context=context, request_handler=_Quiet
        )
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def connection(self) -> RelayConnection:
        """The next desktop that dials in."""
        return self.connections.get(timeout=PATIENCE_S)[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        for connection in self._open:
            connection.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _app(self) -> Flask:
        app = Flask("played-vps")

        @app.before_request
        def check() -> tuple[dict[str, Any], int] | None:
            if request.path == "/enroll":
                return None
            if self.revoked:
                return _error("revoked", "This desktop was revoked."), 401
            if request.headers.get("Authorization") != f"Bearer {CREDENTIAL}":
                return _error("unauthorized", "The API key is wrong."), 401
            return None

        @app.post("/enroll")
        def enroll() -> tuple[dict[str, Any], int]:
            body = request.get_json()
            if body["code"] != CODE:
                return _error("wrong_code", "There is no such code."), 403
            self.enrolled.append(body)
            made = {"credential": CREDENTIAL, "desktop_id": "d1", "role": "source", "tier": "vps"}
            return {**made, "version": "1", "replica": "r"}, 201

        @app.delete("/desktops/self")
        def revoke() -> dict[str, Any]:
            self.revoked = True
            return {}

        @app.post("/sync")
        def sync() -> tuple[dict[str, Any], int]:
            assert self._replica is not None
            if self.exchange_status != 200:
                return _error("unavailable", "Not now."), self.exchange_status
            self.exchanges += 1
            given = answer(self._replica, SyncRequest.model_validate_json(request.get_data()))
            return given.model_dump(mode="json"), 200

        @app.route("/relay", websocket=True)
        def relay() -> Response:
            self.dials += 1
            self.handle(accept(request.environ))
            return _Nothing()

        return app

    def _greet(self, socket: MessageSocket) -> None:
        hello = greeting.receive_hello(socket)
        if self.refusal is not None:
            greeting.refuse(socket, *self.refusal)
            return
        greeting.welcome(socket, Welcome())
        connection = RelayConnection(socket, on_synced=self.synced.append, name="desktop", **self._relay)
        self._open.append(connection)
        self.connections.put((hello, connection))
        connection.run()


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"type": "x", "code": code, "message": message, "hint": None}}


class _Nothing(Response):
    """The socket has been used up."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["werkzeug.socket"].close()
        raise ConnectionAbortedError


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass
