"""What one end of a connection sends: one frame after the other, by whoever has something to say."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from orchestrator_relay.errors import BadFrame, SocketClosed
from orchestrator_relay.frames import FrameKind, encode_ping
from orchestrator_relay.heads import Status

MAX_REPLIES = 1024
"""Answers of the reader that wait to be sent. A side that causes more does not read."""

MAX_TOGETHER = 64
"""Frames sent with one write: 1 MiB at most."""

FAREWELL_S = 0.2
"""How long the last frame waits for its turn."""


class Messages(Protocol):
    """A message socket; see `message_socket.MessageSocket`."""

    def send(self, *messages: bytes) -> None: ...
    def receive(self, timeout: float | None = None) -> bytes | None: ...
    def close(self) -> None: ...
    def release(self) -> None: ...


class _Outgoing:
    """A frame whose sender waits."""

    __slots__ = ("frame", "sent")

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.sent = False


class SendQueue:
    """Safe from any thread.

    Args:
        status: told in each ping and pong; must not wait.
        broken: called when sending failed in a way that nobody has foreseen.
    """

    def __init__(self, socket: Messages, status: Callable[[], Status], broken: Callable[[], None]) -> None:
        self._socket = socket
        self._status = status
        self._broken = broken
        self._turn = threading.Lock()
        self._waiting: deque[_Outgoing] = deque()
        self._replies: deque[bytes] = deque()
        self._pong_due: int | None = None
        self._pong = threading.Lock()

    @property
    def owing(self) -> bool:
        """Whether the reader has left something to be sent."""
        return bool(self._replies) or self._pong_due is not None

    def send(self, frame: bytes) -> None:
        """Send one frame. Who gets to write takes along what others want to send meanwhile: in a busy
        process each write costs a wait for the interpreter, with a hundred streams in a row.

        Raises:
            SocketClosed.
        """
        outgoing = _Outgoing(frame)
        self._waiting.append(outgoing)
        with self._turn:
            while not outgoing.sent:
                if not self._waiting:
                    raise SocketClosed("lost while it was sent")
                self._flush()

    def send_made(self, make: Callable[[], bytes]) -> None:
        """Send a frame that is made when its turn has come, so that numbers in such frames are in
        the order of sending. Nothing is sent when `make` raises.

        Raises:
            SocketClosed: the other side has not got the frame.
        """
        with self._turn:
            self._flush(make())

    def send_last(self, frame: bytes) -> None:
        """Send a frame if that is possible soon; no error if not."""
        if self._turn.acquire(timeout=FAREWELL_S):
            try:
                with contextlib.suppress(SocketClosed):
                    self._socket.send(frame)
            finally:
                self._turn.release()

    def send_owed(self) -> None:
        """Send what the reader has left.

        Raises:
            SocketClosed.
        """
        with self._turn:
            self._flush()

    def ping(self, number: int) -> None:
        """
        Raises:
            SocketClosed.
        """
        self.send(encode_ping(FrameKind.PING, number, self._status().pack()))

    # For the reader, which never waits: somebody else calls `send_owed` then.

    def reply(self, frame: bytes) -> None:
        """
        Raises:
            BadFrame: too many wait already.
        """
        if len(self._replies) >= MAX_REPLIES:
            raise BadFrame(f"{MAX_REPLIES} frames to be answered, and does not read the answers")
        self._replies.append(frame)

    def owe_pong(self, number: int) -> None:
        """Only the latest: pings that come faster than they are answered cost nothing."""
        with self._pong:
            self._pong_due = number

    def _flush(self, *further: bytes) -> None:
        """Send all that waits, then `further`; by whoever has the turn.

        Raises:
            SocketClosed.
        """
        frames = [self._replies.popleft() for _ in range(len(self._replies))]
        with self._pong:
            number, self._pong_due = self._pong_due, None
        if number is not None:
            frames.append(encode_ping(FrameKind.PONG, number, self._status().pack()))
        taken = [self._waiting.popleft() for _ in range(min(MAX_TOGETHER, len(self._waiting)))]
        frames += [outgoing.frame for outgoing in taken]
        frames += further
        try:
            if frames:
                self._socket.send(*frames)
        except SocketClosed:
            raise
        except BaseException:
            # Frames of others were in it, and nobody knows how much of them went out.
            self._broken()
            raise
        for outgoing in taken:
            outgoing.sent = True
