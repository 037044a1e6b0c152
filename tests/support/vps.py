"""A real VPS process, and a desktop that a test plays itself: enrolled, dialled in, answering as it likes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil
import requests
from orchestrator_relay.connection import Ending, RelayConnection
from orchestrator_relay.errors import SocketClosed
from orchestrator_relay.greeting import introduce
from orchestrator_relay.heads import Hello, Status, Welcome
from orchestrator_relay.message_socket import MessageSocket
from orchestrator_relay.server_stream import Serve
from shared_context.storage.identity import new_id
from support import scripted
from support.processes import children
from support.waiting import wait_until
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, RejectConnection, RejectData, Request

KEY = "the-key-of-the-phone"
QUICK = {
    "ORCHESTRATOR_RELAY__HEARTBEAT_S": "0.3",
    "ORCHESTRATOR_RELAY__SILENCE_S": "1.5",
    "ORCHESTRATOR_RELAY__SETTLE_S": "0",
}
"""For tests that wait for a desktop to be taken for lost."""


class Vps:
    """`python -m orchestrator_vps serve` on a free port of loopback, with a scripted model.

    Args:
        model: what the scripted backend reads.
        through: a program that runs it, with its arguments.
        environ: further environment.
    """

    def __init__(
        self,
        data: Path,
        *arguments: str,
        model: str = "echo",
        through: Sequence[str] = (),
        **environ: str,
    ) -> None:
        self.data = data
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ORCHESTRATOR_", "LLM_", "JOURNAL_STREAM"))
        }
        self.environ = {
            **clean,
            **scripted.ENVIRONMENT,
            "ORCHESTRATOR_MODEL": model,
            "ORCHESTRATOR_API_KEY": KEY,
            "PYTHONUNBUFFERED": "1",
            **environ,
        }
        self._command = [sys.executable, "-m", "orchestrator_vps"]
        self.process = subprocess.Popen(
            [*through, *self._command, "serve", "--port", "0", "--data", str(data), *arguments],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C is for the whole group, which must not be the tests' own.
            start_new_session=True,
        )
        self.first_code: str | None = None
        self.said: list[str] = []
        self._errors: list[str] = []
        assert self.process.stderr is not None
        stderr = self.process.stderr
        self._reader = threading.Thread(target=lambda: self._errors.extend(stderr), daemon=True)
        self._reader.start()

    def started(self) -> Self:
        line = self.line("listens on http://")
        self.url = re.search(r"http://\S+", line)[0]  # type: ignore[index]
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def line(self, words: str) -> str:
        """Wait until it says this."""
        assert self.process.stdout is not None
        while words not in (line := self.process.stdout.readline()):
            assert line, "".join(self.said) + self.errors
            self.said.append(line)
        self.said.append(line)
        return line

    @property
    def errors(self) -> str:
        if self.process.poll() is not None:
            self._reader.join(10)
        return "".join(self._errors)

    @property
    def worker(self) -> psutil.Process:
        """The web process."""
        master = psutil.Process(self.process.pid)
        (worker,) = [child for child, command in children(master) if "serve" in command]
        return worker

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {KEY}", **options.pop("headers", {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        return requests.request(
            method, self.url + path, headers=headers, timeout=options.pop("timeout", 30), **options
        )

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.request("POST", path, json=body, **options)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of this tier, with the same data."""
        return subprocess.run(
            [*self._command, *arguments, "--data", str(self.data)],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def code(self) -> str:
        return self.command("code").stdout.strip()

    def enroll(self, **fields: Any) -> requests.Response:
        body = {"code": self.code(), "name": "home", "replica": new_id(), **fields}
        return self.post("/enroll", body, headers={"Authorization": None})

    def desktop(self) -> dict[str, Any]:
        """What it says of the desktop."""
        found: dict[str, Any] = self.get("/info").json()["relay"]["desktop"]
        return found

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def __enter__(self) -> Self:
        try:
            return self.started()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *error: object) -> None:
        self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


class DialRefused(Exception):
    """Args: the status of the answer that was no 101."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status} {body!r}")
        self.status = status
        self.body = body


def dial(port: int, credential: str | None) -> MessageSocket:
    """The WebSocket handshake as a desktop does it.

    Raises:
        DialRefused.
    """
    sock = socket.create_connection(("127.0.0.1", port), 10)
    ws = WSConnection(ConnectionType.CLIENT)
    extra = [] if credential is None else [(b"Authorization", f"Bearer {credential}".encode())]
    sock.sendall(ws.send(Request(host="localhost", target="/relay", extra_headers=extra)))
    status, body = 0, b""
    while True:
        data = sock.recv(65536)
        ws.receive_data(data or None)
        for event in ws.events():
            match event:
                case AcceptConnection():
                    return MessageSocket(sock, ws)
                case RejectConnection():
                    status = event.status_code
                case RejectData():
                    body += event.data
        if not data or (status and body.endswith(b"}")):
            sock.close()
            raise DialRefused(status, body)


class PlayedDesktop:
    """A desktop's end of the relay.

    Args:
        serve: what answers the requests that come.
        ready, queue: what it says of itself.
        syncs: say of every state that it is told of that it has been taken in.
    """

    def __init__(
        self,
        vps: Vps,
        serve: Serve,
        *,
        credential: str | None = None,
        ready: bool = True,
        queue: int = 0,
        syncs: bool = True,
        heartbeat_s: float = 0.3,
        silence_s: float = 30.0,
    ) -> None:
        if credential is None:
            credential = vps.enroll().json()["credential"]
        self.credential = credential
        self.status = Status(ready=ready, queue=queue)
        self.notices: list[str] = []
        self._noticed = threading.Condition()
        self._syncs = syncs
        self._vps = vps
        self._socket = dial(vps.port, credential)
        self.welcome: Welcome = introduce(self._socket, Hello(name="home"))
        self.connection = RelayConnection(
            self._socket,
            serve=serve,
            heartbeat_s=heartbeat_s,
            silence_s=silence_s,
            status=lambda: self.status,
            on_notice=self._notice,
            name="played-desktop",
        )
        self._thread = threading.Thread(target=self.connection.run, daemon=True)
        self._thread.start()

    def there(self, ready: bool = True) -> Self:
        """Once the VPS knows of it."""
        wait_until(lambda: (state := self._vps.desktop())["reachable"] and state["ready"] == ready)
        return self

    def take_in(self, timeout_s: float = 10.0) -> str:
        """Wait for a notice and say that its state has been taken in."""
        with self._noticed:
            assert self._noticed.wait_for(lambda: self.notices, timeout_s)
            digest = self.notices[-1]
        self.connection.synced(digest)
        return digest

    def ending(self, timeout_s: float = 10.0) -> Ending:
        ending = self.connection.wait(timeout_s)
        assert ending is not None, "the connection did not end"
        return ending

    def cut(self) -> None:
        """As a pulled plug, but seen at once: the socket is closed without a word."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _notice(self, digest: str) -> None:
        if self._syncs:
            # Not by the thread that reads.
            threading.Thread(target=self._say_synced, args=(digest,), daemon=True).start()
        with self._noticed:
            self.notices.append(digest)
            self._noticed.notify_all()

    def _say_synced(self, digest: str) -> None:
        with suppress(SocketClosed):
            self.connection.synced(digest)
