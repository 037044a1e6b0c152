"""Framed JSON between the server and the engine process.

Length-prefixed UTF-8 JSON over a socket pair. No pickle: a frame can say something wrong, but never run
anything. Either side may send from several threads; one thread receives.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from typing import Any

MAX_FRAME = 256 * 1024 * 1024
"""No honest frame is near this: it guards against a broken length."""

_READ = 65536
_LENGTH = struct.Struct("!I")


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end of the pair; owns the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._sending = threading.Lock()
        self._received = bytearray()

    def send(self, message: dict[str, Any]) -> None:
        """Raises:
        ChannelClosed: nobody will read it.
        ValueError: text that is not Unicode (lone surrogates), or a frame over the limit.
        """
        data = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        if len(data) > MAX_FRAME:
            raise ValueError(f"a message of {len(data)} bytes is over the limit of {MAX_FRAME}")
        try:
            with self._sending:
                self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise ChannelClosed from error

    def receive(self) -> dict[str, Any]:
        """The next message; blocks.

        Raises:
            ChannelClosed: end of the stream, or something that is no frame.
        """
        try:
            (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
            if length > MAX_FRAME:
                raise ChannelClosed
            message = json.loads(self._exactly(length))
        except (OSError, ValueError) as error:
            raise ChannelClosed from error
        if not isinstance(message, dict):
            raise ChannelClosed
        return message

    def close(self) -> None:
        """Wakes a blocked `receive` on both sides."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        """So many bytes. What arrived with them is kept: a small message costs one system call, not two."""
        buffer = self._received
        while len(buffer) < size:
            data = self._socket.recv(max(_READ, size - len(buffer)))
            if not data:
                raise ChannelClosed
            buffer += data
        taken = bytes(buffer[:size])
        del buffer[:size]
        return taken
