"""A TCP proxy that breaks connections in the middle of an event stream, as a bad network does."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

EVENT = b"data: "


class CuttingProxy:
    """Passes everything on to a port of loopback.

    Args:
        cuts: the first stream that gets so far breaks off before its n-th event, the next one
            before the next n, and so on; then nothing breaks any more.
    """

    def __init__(self, port: int, cuts: list[int]) -> None:
        self.cuts = list(cuts)
        self._target = port
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        # Closing alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            up = threading.Thread(target=_pass_on, args=(client, server), daemon=True)
            up.start()
            with contextlib.suppress(OSError):
                self._pass_down(server, client)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            up.join(10)

    def _pass_down(self, server: socket.socket, client: socket.socket) -> None:
        whole, sent = b"", 0
        while data := server.recv(65536):
            whole += data
            place = self._cut(whole)
            client.sendall(whole[sent : len(whole) if place is None else max(sent, place)])
            sent = len(whole)
            if place is not None:
                return

    def _cut(self, whole: bytes) -> int | None:
        """Where this stream breaks off, if it is to and has come so far."""
        with self._lock:
            if not self.cuts or whole.count(EVENT) < self.cuts[0]:
                return None
            place = -1
            for _ in range(self.cuts.pop(0)):
                place = whole.index(EVENT, place + 1)
            return place


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
