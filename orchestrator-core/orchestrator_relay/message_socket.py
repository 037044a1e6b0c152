"""Binary messages over an established WebSocket, for one reading thread and many writing ones.

simple-websocket's own connection object is not used after its handshake: it keeps what came in a list
without bound, sends from two threads without a lock, and takes a part of a message for the
whole when the socket's buffer is full. The protocol itself is wsproto's, the library below it.

Reading and writing wait for the socket outside of any lock: TLS allows only one call at a time, and a
writer that waits for a slow line must not keep the reader from reading.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
from collections import deque

from wsproto import WSConnection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from orchestrator_relay.errors import SocketClosed
from orchestrator_relay.frames import MAX_FRAME_BYTES

RECEIVE_BYTES = 64 * 1024
UNSENT_BYTES = 64 * 1024
"""What the system may keep unsent, where it can be told (Linux, macOS): what waits here, tokens and
pings among it, cannot be overtaken."""

MAX_OWED = 64
"""Answers to WebSocket pings not sent yet; the other side sends them faster than it reads."""

NORMAL, PROTOCOL_ERROR, UNSUPPORTED, TOO_BIG = 1000, 1002, 1003, 1009
"""Close codes of RFC 6455 §7.4.1."""


class MessageSocket:
    """
    Args:
        sock: connected; owned by this object from now on.
        ws: wsproto's state after the handshake, possibly with frames in it already.
        stall_s: seconds a write may wait without a single byte being taken; after them the
            connection is closed.
        max_bytes: a larger message closes the connection.
    """

    def __init__(
        self,
        sock: socket.socket,
        ws: WSConnection,
        *,
        stall_s: float = 30.0,
        max_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self._sock = sock
        self._ws = ws
        self._stall_s = stall_s
        self._max_bytes = max_bytes
        self._inbox: deque[bytes] = deque()
        self._partial = bytearray()
        self._owed: deque[bytes] = deque()
        self._writing = threading.Lock()
        self._using = threading.Lock()
        self._closed: str | None = None
        _prepare(sock)
        self._readable = _selector(sock, selectors.EVENT_READ)
        self._writable = _selector(sock, selectors.EVENT_WRITE)
        self._take_events()

    def __repr__(self) -> str:
        return f"MessageSocket({'closed' if self._closed else 'open'})"

    def send(self, *messages: bytes) -> None:
        """Send messages, in this order and at once; returns when the system has taken all of them.

        Raises:
            SocketClosed: the other side cannot have received the whole last message.
        """
        with self._writing:
            self._check_open()
            try:
                encoded = [self._ws.send(BytesMessage(data=message)) for message in messages]
            except LocalProtocolError:
                raise SocketClosed("the connection is being closed") from None
            owed = [self._owed.popleft() for _ in range(len(self._owed))]
            self._send_all(encoded[0] if len(encoded) == 1 and not owed else b"".join(owed + encoded))

    def receive(self, timeout: float | None = None) -> bytes | None:
        """The next message; None when none came within `timeout` seconds. For one thread.

        Raises:
            SocketClosed: by either side.
        """
        while not self._inbox:
            self._check_open()
            if not self._pending() and not self._wait(self._readable, timeout):
                return None
            self._receive_some()
        return self._inbox.popleft()

    def close(self, code: int = NORMAL, why: str = "closed here") -> None:
        """Say so, if that is possible at once, and end both directions. Wakes whoever waits in
        `send` or `receive`. Idempotent, from any thread."""
        if self._closed is not None:
            return
        if self._writing.acquire(timeout=0.2):
            try:
                data = self._ws.send(CloseConnection(code=code))
                with self._using:
                    self._sock.send(data)
            except (OSError, LocalProtocolError):
                pass
            finally:
                self._writing.release()
        self._shut(why)

    def release(self) -> None:
        """Give back the file descriptors. By the reading thread, when it will read no more."""
        self._shut("closed here")
        with self._writing, self._using:
            self._readable.close()
            self._writable.close()
            self._drain()
            self._sock.close()

    def _drain(self) -> None:
        """Closing a socket with something unread in it resets the connection, and the other side
        might lose our last words."""
        with contextlib.suppress(OSError, ValueError):
            for _ in range(64):
                if not self._sock.recv(RECEIVE_BYTES):
                    return

    def _send_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                with self._using:
                    sent = self._sock.send(rest)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if not self._wait(self._writable, self._stall_s):
                    self._shut("it takes no more data")
                self._check_open()
                continue
            except (OSError, ValueError) as error:
                # Only this direction has ended: the other side's last words may be waiting, and
                # behind them the reader finds the end.
                raise SocketClosed(self._closed or _why(error)) from None
            rest = rest[sent:]

    def _receive_some(self) -> None:
        try:
            with self._using:
                data = self._sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (OSError, ValueError) as error:
            self._shut(_why(error))
            return
        if not data:
            self._shut("the other side closed the connection")
            return
        try:
            self._ws.receive_data(data)
        except RemoteProtocolError:
            self.close(PROTOCOL_ERROR, "the other side does not speak WebSocket")
            return
        self._take_events()

    def _take_events(self) -> None:
        try:
            for event in self._ws.events():
                self._take(event)
        except RemoteProtocolError:
            self.close(PROTOCOL_ERROR, "the other side does not speak WebSocket")

    def _take(self, event: Event) -> None:
        match event:
            case BytesMessage():
                self._partial += event.data
                if len(self._partial) > self._max_bytes:
                    self._partial.clear()
                    self.close(TOO_BIG, f"a message of more than {self._max_bytes} bytes came")
                elif event.message_finished:
                    self._inbox.append(bytes(self._partial))
                    self._partial.clear()
            case TextMessage():
                self.close(UNSUPPORTED, "a text message came, where only binary ones may be")
            case CloseConnection():
                self.close(event.code, f"the other side closed the connection ({int(event.code)})")
            case Ping():
                self._owe(event)

    def _owe(self, ping: Ping) -> None:
        """The reader never writes: it could wait for a side that waits for it to read."""
        if len(self._owed) >= MAX_OWED:
            self.close(PROTOCOL_ERROR, "more pings than are answered")
            return
        with contextlib.suppress(LocalProtocolError):
            self._owed.append(self._ws.send(ping.response()))

    def _pending(self) -> bool:
        """Bytes that TLS has read already; the socket does not become readable for them."""
        if isinstance(self._sock, ssl.SSLSocket):
            with self._using:
                return self._sock.pending() > 0
        return False

    def _wait(self, selector: selectors.BaseSelector, timeout: float | None) -> bool:
        try:
            return bool(selector.select(timeout))
        except (OSError, ValueError):
            self._shut("lost")
            return True

    def _check_open(self) -> None:
        if self._closed is not None:
            raise SocketClosed(self._closed)

    def _shut(self, why: str) -> None:
        if self._closed is None:
            self._closed = why
        with contextlib.suppress(OSError):
            # Not SSLSocket's own: that takes the TLS state away from whoever reads just now.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    options = [
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.IPPROTO_TCP, "TCP_NOTSENT_LOWAT", UNSENT_BYTES),
    ]
    for level, name, value in options:
        # A socket pair of the tests is no TCP socket; not every system knows the second one.
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(level, getattr(socket, name), value)


def _selector(sock: socket.socket, event: int) -> selectors.BaseSelector:
    selector = selectors.DefaultSelector()
    selector.register(sock, event)
    return selector


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
