"""One end of a relay connection: many streams over one message socket.

Threads: whoever calls `run` reads; `Keeper`'s sends what the reader has to answer and the heartbeat; requests
are served by `Workers`. Everybody else sends frames in his own thread, one at a time. The
reader never waits for anything but the socket: two ends that both waited to write would wait for ever.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from orchestrator_relay import heads
from orchestrator_relay.client_stream import RelayStream
from orchestrator_relay.errors import BadFrame, SocketClosed
from orchestrator_relay.frames import (
    Frame,
    FrameKind,
    decode,
    digest_of,
    encode,
    encode_digest,
    ping_of,
)
from orchestrator_relay.heads import Goodbye, RequestHead, Status
from orchestrator_relay.keeper import Keeper
from orchestrator_relay.outbox import Messages as Messages
from orchestrator_relay.outbox import SendQueue
from orchestrator_relay.sent_requests import SentRequests
from orchestrator_relay.served_requests import ServedRequests
from orchestrator_relay.server_stream import Serve

_log = logging.getLogger(__name__)


LAST_WORDS_S = 1.0
"""After a write that failed, the reader has so long to find out why."""


class Ending(NamedTuple):
    """Why a connection ended.

    Args:
        code: see `heads`; the other side's words when it said goodbye.
        message: for people.
        by_peer: whether the other side ended it.
    """

    code: str
    message: str
    by_peer: bool


class RelayConnection:
    """
    Args:
        socket: behind the greeting; owned by the connection from now on.
        serve: answers requests of the other side. An end that has it sends none; at one that has
            not, they are a violation.
        max_streams: requests at once.
        heartbeat_s: seconds between pings.
        silence_s: after so many without a sign of life the connection is lost. A bare PING is
            none: it does not show that the other side reads.
        status: told in each ping and pong; called from several threads, must not wait.
        on_status, on_notice, on_synced: called by the reading thread, must not wait.
        name: of the other side, for the log.
    """

    def __init__(
        self,
        socket: Messages,
        *,
        serve: Serve | None = None,
        max_streams: int = 256,
        heartbeat_s: float = 2.0,
        silence_s: float = 6.0,
        status: Callable[[], Status] = Status,
        on_status: Callable[[Status], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
        on_synced: Callable[[str], None] | None = None,
        name: str = "relay",
    ) -> None:
        self.name = name
        self.peer: Status | None = None
        """The other side's latest status; None before the first."""
        self._socket = socket
        self._silence_s = silence_s
        self._on_status = on_status or (lambda status: None)
        self._on_notice = on_notice or (lambda digest: None)
        self._on_synced = on_synced or (lambda digest: None)
        self._outbox = SendQueue(socket, status, self.close)
        self._sent = SentRequests(self._outbox, max_streams)
        self._served = (
            None if serve is None else ServedRequests(self._outbox, serve, max_streams, f"{name}-worker")
        )
        self._heard = time.monotonic()
        self._lock = threading.Lock()
        self._ending: Ending | None = None
        self._ended = threading.Event()
        self._keeper = Keeper(
            self._outbox, heartbeat_s, over=self._ended, failed=self._send_failed, name=f"{name}-keeper"
        )

    def __repr__(self) -> str:
        return f"RelayConnection({self.name!r}, {self._ending.code if self._ending else 'open'})"

    @property
    def ending(self) -> Ending | None:
        """Why it ended; None while it lives."""
        return self._ending

    @property
    def streams(self) -> int:
        """Requests under way."""
        return len(self._sent if self._served is None else self._served)

    def heard_s_ago(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - self._heard

    # Running it

    def start(self) -> None:
        """`run` in a thread of its own."""
        threading.Thread(target=self.run, name=f"{self.name}-reader", daemon=True).start()

    def run(self) -> Ending:
        """Read until the connection ends. Once."""
        self._keeper.start()
        try:
            self._read()
        except BadFrame as error:
            _log.warning("Closing the connection to %s: it sent %s", self.name, error)
            self.goodbye(heads.PROTOCOL_ERROR, f"You sent {error}.")
        except SocketClosed as error:
            self._end(Ending(heads.LOST, error.message, by_peer=True))
        except Exception:
            _log.exception("Closing the connection to %s: reading it failed", self.name)
            self._end(Ending(heads.LOST, "reading failed", by_peer=False))
        finally:
            self._end(Ending(heads.LOST, "reading ended", by_peer=False))
            # Those that came while another thread ended the connection.
            self._leave_served()
            self._keeper.join()
            self._socket.release()
        assert self._ending is not None
        return self._ending

    def wait(self, timeout_s: float | None = None) -> Ending | None:
        """Wait for the end; None when it did not come in time."""
        self._ended.wait(timeout_s)
        return self._ending

    def goodbye(self, code: str, message: str = "") -> None:
        """Tell the other side why, if it still takes that at once, and close. From any thread."""
        if self._ending is None:
            goodbye = Goodbye(code=code, message=message[:2000])
            self._outbox.send_last(encode(FrameKind.GOODBYE, 0, goodbye.pack()))
        self._end(Ending(code, message, by_peer=False))

    def close(self) -> None:
        """End it without a word. Idempotent, from any thread; every stream is lost."""
        self._end(Ending(heads.LOST, "closed here", by_peer=False))

    # What its users do

    def open(
        self,
        head: RequestHead,
        body: bytes = b"",
        timeout_s: float = 30.0,
        *,
        begun: Callable[[RelayStream], object] | None = None,
    ) -> RelayStream:
        """Send a request and wait for the head of its answer.

        Args:
            head: its `body` is set to the length of `body`.
            timeout_s: for the head once everything was sent, and for each pause in sending.
            begun: given the stream before anything is waited for; closing it, from any thread, ends
                the waiting with AnswerLost.

        Raises:
            HeadTooLarge: its head is too large.
            RequestNotSent: it was not sent, or not begun; nothing happened there.
            AnswerLost: it was sent, and the connection was lost or the head took too long.
        """
        return self._sent.open(head, body, timeout_s, begun)

    def notice(self, digest: str) -> None:
        """Tell that this side's memory is in another state now.

        Raises:
            SocketClosed.
        """
        self._outbox.send(encode_digest(FrameKind.NOTICE, digest))

    def synced(self, digest: str) -> None:
        """Tell that everything in the state `digest` has been taken in.

        Raises:
            SocketClosed.
        """
        self._outbox.send(encode_digest(FrameKind.SYNCED, digest))

    def tell_status(self) -> None:
        """Send the status now instead of at the next heartbeat. Does not wait."""
        self._keeper.tell_status()

    def ping(self, timeout_s: float) -> bool:
        """Whether the other side answers within `timeout_s` seconds from now."""
        return self._keeper.ping(timeout_s)

    # Reading

    def _read(self) -> None:
        while self._ending is None:
            left_s = self._heard + self._silence_s - time.monotonic()
            message = self._socket.receive(max(0.0, left_s))
            if message is not None:
                self._take(decode(message))
            if self.heard_s_ago() >= self._silence_s:
                self.goodbye(heads.SILENT, f"Nothing was heard for {self._silence_s:g} s.")

    def _take(self, frame: Frame) -> None:
        if frame.kind is not FrameKind.PING:
            self._heard = time.monotonic()
        if not frame.stream:
            self._take_of_connection(frame)
        elif self._served is None:
            self._sent.take(frame)
        else:
            self._served.take(frame)
        if self._outbox.owing:
            self._keeper.wake()

    def _take_of_connection(self, frame: Frame) -> None:
        match frame.kind:
            case FrameKind.PING:
                number, status = ping_of(frame)
                self._take_status(status)
                self._outbox.owe_pong(number)
            case FrameKind.PONG:
                number, status = ping_of(frame)
                self._take_status(status)
                self._keeper.take_pong(number)
            case FrameKind.NOTICE:
                self._on_notice(digest_of(frame))
            case FrameKind.SYNCED:
                self._on_synced(digest_of(frame))
            case FrameKind.GOODBYE:
                goodbye = Goodbye.unpack(frame.payload)
                self._end(Ending(goodbye.code, goodbye.message, by_peer=True))
            case _:
                raise BadFrame(f"a {frame.kind.name} frame behind the greeting")

    def _take_status(self, packed: bytes) -> None:
        self.peer = Status.unpack(packed)
        self._on_status(self.peer)

    # Ending

    def _send_failed(self, why: str) -> None:
        # The reader may find a goodbye yet.
        if not self._ended.wait(LAST_WORDS_S):
            self._end(Ending(heads.LOST, why, by_peer=True))

    def _end(self, ending: Ending) -> None:
        with self._lock:
            if self._ending is not None:
                return
            self._ending = ending
        self._socket.close()
        self._sent.lose(ending.message or ending.code)
        self._leave_served()
        self._ended.set()
        self._keeper.wake()

    def _leave_served(self) -> None:
        if self._served is not None:
            self._served.leave()
