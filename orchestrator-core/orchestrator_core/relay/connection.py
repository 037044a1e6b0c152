"""One end of a relay connection: many streams over one message socket.

Threads: whoever calls `run` reads; one more sends what the reader has to answer and the heartbeat; requests
are served by `Workers`. Everybody else sends frames in his own thread, one at a time. The
reader never waits for anything but the socket: two ends that both waited to write would wait for ever.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from orchestrator_core.errors import InvalidRequest, TierLost, TierUnreachable
from orchestrator_core.relay import heads
from orchestrator_core.relay.frames import (
    CHUNK_BYTES,
    HEAD_BYTES,
    MAX_STREAM,
    BadFrame,
    End,
    Frame,
    Kind,
    credit_of,
    decode,
    digest_of,
    encode,
    encode_credit,
    encode_digest,
    encode_end,
    end_of,
    ping_of,
)
from orchestrator_core.relay.heads import Goodbye, RequestHead, ResponseHead, Status
from orchestrator_core.relay.message_socket import SocketClosed
from orchestrator_core.relay.opening import AnswerCame, RelayStream
from orchestrator_core.relay.outbox import Messages as Messages
from orchestrator_core.relay.outbox import Outbox
from orchestrator_core.relay.serving import Serve, ServedStream
from orchestrator_core.relay.workers import Workers

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
        serve: answers requests of the other side; without it they are a violation.
        max_streams: requests at once, asked and served alike.
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
        self._serve = serve
        self._max_streams = max_streams
        self._heartbeat_s = heartbeat_s
        self._silence_s = silence_s
        self._on_status = on_status or (lambda status: None)
        self._on_notice = on_notice or (lambda digest: None)
        self._on_synced = on_synced or (lambda digest: None)
        self._workers = Workers(max_streams, f"{name}-worker")
        self._outbox = Outbox(socket, status, self.close)
        self._table = threading.Lock()
        self._opened: dict[int, RelayStream] = {}
        self._served: dict[int, ServedStream] = {}
        self._last_opened = 0
        self._last_served = 0
        self._wake = threading.Condition(threading.Lock())
        self._heartbeat_due = 0.0
        self._ping_number = 0
        self._pong_seen = 0
        self._ponged = threading.Condition(threading.Lock())
        self._heard = time.monotonic()
        self._ending: Ending | None = None
        self._ended = threading.Event()

    def __repr__(self) -> str:
        return f"RelayConnection({self.name!r}, {self._ending.code if self._ending else 'open'})"

    @property
    def ending(self) -> Ending | None:
        """Why it ended; None while it lives."""
        return self._ending

    @property
    def streams(self) -> int:
        """Requests under way."""
        return len(self._opened) + len(self._served)

    def heard_s_ago(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - self._heard

    # Running it

    def start(self) -> None:
        """`run` in a thread of its own."""
        threading.Thread(target=self.run, name=f"{self.name}-reader", daemon=True).start()

    def run(self) -> Ending:
        """Read until the connection ends. Once."""
        keeper = threading.Thread(target=self._keep, name=f"{self.name}-keeper", daemon=True)
        keeper.start()
        try:
            self._read()
        except BadFrame as error:
            _log.warning("Closing the connection to %s: it sent %s", self.name, error)
            self.goodbye(heads.PROTOCOL_ERROR, f"You sent {error}.")
        except SocketClosed as error:
            self._end(Ending(heads.LOST, error.why, by_peer=True))
        except Exception:
            _log.exception("Closing the connection to %s: reading it failed", self.name)
            self._end(Ending(heads.LOST, "reading failed", by_peer=False))
        finally:
            self._end(Ending(heads.LOST, "reading ended", by_peer=False))
            # Those that came while another thread ended the connection.
            self._leave_served()
            keeper.join()
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
            self._outbox.send_last(encode(Kind.GOODBYE, 0, goodbye.pack()))
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
                the waiting with TierLost.

        Raises:
            InvalidRequest: its head is too large.
            TierUnreachable: it was not sent, or not begun; nothing happened there.
            TierLost: it was sent, and the connection was lost or the head took too long.
        """
        packed = head.model_copy(update={"body": len(body)}).pack()
        if len(packed) > HEAD_BYTES:
            raise InvalidRequest(
                f"The request's headers are too large to be relayed: {len(packed)} bytes, "
                f"where {HEAD_BYTES} may be.",
                code="headers_too_large",
            )
        stream = self._begin(packed)
        try:
            if begun is not None:
                begun(stream)
            self._send_body(stream, body, timeout_s)
            stream.wait_for_head(timeout_s)
        except BaseException:
            stream.close()
            raise
        return stream

    def notice(self, digest: str) -> None:
        """Tell that this side's memory is in another state now.

        Raises:
            SocketClosed.
        """
        self._outbox.send(encode_digest(Kind.NOTICE, digest))

    def synced(self, digest: str) -> None:
        """Tell that everything in the state `digest` has been taken in.

        Raises:
            SocketClosed.
        """
        self._outbox.send(encode_digest(Kind.SYNCED, digest))

    def tell_status(self) -> None:
        """Send the status now instead of at the next heartbeat. Does not wait."""
        with self._wake:
            self._heartbeat_due = 0.0
            self._wake.notify()

    def ping(self, timeout_s: float) -> bool:
        """Whether the other side answers within `timeout_s` seconds from now."""
        with self._ponged:
            wanted = self._ping_number + 1
        self.tell_status()
        with self._ponged:
            self._ponged.wait_for(lambda: self._pong_seen >= wanted or self._ended.is_set(), timeout_s)
            return self._pong_seen >= wanted and not self._ended.is_set()

    # Sending

    def _keep(self) -> None:
        """The keeper's thread: replies at once, a ping every heartbeat."""
        while self._ending is None:
            with self._wake:
                self._wake.wait_for(self._keeper_wanted, max(0.0, self._heartbeat_due - time.monotonic()))
            try:
                self._outbox.send_owed()
                if time.monotonic() >= self._heartbeat_due:
                    self._send_ping()
            except SocketClosed as error:
                # The reader may find a goodbye yet.
                if not self._ended.wait(LAST_WORDS_S):
                    self._end(Ending(heads.LOST, error.why, by_peer=True))

    def _keeper_wanted(self) -> bool:
        return self._outbox.owing or self._ending is not None or self._heartbeat_due <= time.monotonic()

    def _send_ping(self) -> None:
        self._heartbeat_due = time.monotonic() + self._heartbeat_s
        with self._ponged:
            self._ping_number += 1
            number = self._ping_number
        self._outbox.ping(number)

    def _wake_keeper(self) -> None:
        with self._wake:
            self._wake.notify()

    # Asking

    def _begin(self, packed: bytes) -> RelayStream:
        """Numbers are given in the order of sending: the other side relies on that."""
        begun: list[RelayStream] = []

        def make() -> bytes:
            begun.append(self._enter())
            return encode(Kind.REQUEST, begun[0].stream, packed)

        try:
            self._outbox.send_made(make)
        except SocketClosed as error:
            self._leave(begun[0].stream, tell=False)
            raise TierUnreachable(f"The other tier cannot be reached: {error}.") from None
        return begun[0]

    def _enter(self) -> RelayStream:
        with self._table:
            if self._ending is not None:
                raise TierUnreachable(f"The other tier cannot be reached: {self._ending.message}.")
            if len(self._opened) >= self._max_streams or self._last_opened == MAX_STREAM:
                raise TierUnreachable(
                    f"{len(self._opened)} requests to the other tier are under way; there may be no more.",
                    code="tier_busy",
                )
            self._last_opened += 1
            number = self._last_opened
            stream = RelayStream(
                number, lambda count: self._grant(number, count), lambda tell: self._leave(number, tell)
            )
            self._opened[number] = stream
            return stream

    def _send_body(self, stream: RelayStream, body: bytes, timeout_s: float) -> None:
        rest = memoryview(body)
        try:
            while rest:
                allowed = stream.outflow.take(min(len(rest), CHUNK_BYTES), timeout_s)
                self._outbox.send(encode(Kind.BODY, stream.stream, rest[:allowed]))
                rest = rest[allowed:]
        except AnswerCame:
            self._quietly(encode_end(stream.stream, End.BROKEN))
        except SocketClosed as error:
            raise TierLost(f"The connection to the other tier was lost: {error}.") from None
        except TimeoutError:
            raise TierLost(
                f"The other tier did not read the request within {timeout_s:g} s.", code="tier_timeout"
            ) from None

    def _grant(self, number: int, count: int) -> None:
        self._quietly(encode_credit(number, count))

    def _leave(self, number: int, tell: bool) -> None:
        with self._table:
            self._opened.pop(number, None)
        if tell and self._ending is None:
            self._quietly(encode(Kind.CANCEL, number))

    def _quietly(self, frame: bytes) -> None:
        """Of a closed connection the streams hear in another way."""
        with contextlib.suppress(SocketClosed):
            self._outbox.send(frame)

    # Reading

    def _read(self) -> None:
        while self._ending is None:
            left_s = self._heard + self._silence_s - time.monotonic()
            message = self._socket.receive(max(0.0, left_s))
            if message is not None:
                self._take(decode(message))
            if time.monotonic() - self._heard >= self._silence_s:
                self.goodbye(heads.SILENT, f"Nothing was heard for {self._silence_s:g} s.")

    def _take(self, frame: Frame) -> None:
        kind = frame.kind
        if kind is not Kind.PING:
            self._heard = time.monotonic()
        if kind is Kind.CHUNK:
            if (stream := self._asked(frame)) is not None:
                stream.take_chunk(frame.payload)
        elif frame.stream:
            self._take_of_stream(frame)
        else:
            self._take_of_connection(frame)

    def _take_of_stream(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.REQUEST:
                self._take_request(frame)
            case Kind.HEAD:
                if (asked := self._asked(frame)) is not None:
                    asked.take_head(ResponseHead.unpack(frame.payload))
            case Kind.BODY:
                if (served := self._being_served(frame)) is not None:
                    served.take_body(frame.payload)
            case Kind.END:
                self._take_end(frame)
            case Kind.CREDIT:
                count = credit_of(frame)
                stream = self._being_served(frame) if self._serve else self._asked(frame)
                if stream is not None:
                    stream.outflow.add(count)
            case Kind.CANCEL:
                if (served := self._being_served(frame)) is not None:
                    served.leave()

    def _take_end(self, frame: Frame) -> None:
        end = end_of(frame)
        if self._serve is None:
            if (asked := self._asked(frame)) is not None:
                asked.take_end(end)
                self._leave(frame.stream, tell=False)
        elif (served := self._being_served(frame)) is not None:
            served.take_end()

    def _take_request(self, frame: Frame) -> None:
        if self._serve is None:
            raise BadFrame("a request, where only answers may come")
        if frame.stream <= self._last_served:
            raise BadFrame(f"a request with the number {frame.stream} after {self._last_served}")
        self._last_served = frame.stream
        stream = ServedStream(frame.stream, RequestHead.unpack(frame.payload), self._outbox.send)
        serve = self._serve
        self._served[frame.stream] = stream

        def task() -> None:
            try:
                stream.run(serve)
            finally:
                self._served.pop(stream.stream, None)

        if not self._workers.begin(task):
            del self._served[frame.stream]
            self._outbox.reply(encode_end(frame.stream, End.REFUSED))
            self._wake_keeper()

    def _take_of_connection(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.PING:
                number, status = ping_of(frame)
                self._take_status(status)
                self._outbox.owe_pong(number)
                self._wake_keeper()
            case Kind.PONG:
                number, status = ping_of(frame)
                self._take_status(status)
                with self._ponged:
                    if number > self._ping_number:
                        raise BadFrame(f"a PONG to the ping {number}, which was never sent")
                    self._pong_seen = max(self._pong_seen, number)
                    self._ponged.notify_all()
            case Kind.NOTICE:
                self._on_notice(digest_of(frame))
            case Kind.SYNCED:
                self._on_synced(digest_of(frame))
            case Kind.GOODBYE:
                goodbye = Goodbye.unpack(frame.payload)
                self._end(Ending(goodbye.code, goodbye.message, by_peer=True))
            case _:
                raise BadFrame(f"a {frame.kind.name} frame behind the greeting")

    def _take_status(self, packed: bytes) -> None:
        self.peer = Status.unpack(packed)
        self._on_status(self.peer)

    def _asked(self, frame: Frame) -> RelayStream | None:
        """None for a stream that was left meanwhile.

        Raises:
            BadFrame: for one that never was.
        """
        if frame.stream > self._last_opened:
            raise BadFrame(f"a {frame.kind.name} frame for stream {frame.stream}, which was never opened")
        return self._opened.get(frame.stream)

    def _being_served(self, frame: Frame) -> ServedStream | None:
        if frame.stream > self._last_served:
            raise BadFrame(f"a {frame.kind.name} frame for stream {frame.stream}, which was never opened")
        return self._served.get(frame.stream)

    # Ending

    def _end(self, ending: Ending) -> None:
        with self._table:
            if self._ending is not None:
                return
            self._ending = ending
            opened = list(self._opened.values())
            self._opened.clear()
        self._socket.close()
        for asked in opened:
            asked.lose(ending.message or ending.code)
        self._leave_served()
        with self._wake:
            self._wake.notify_all()
        self._ended.set()
        with self._ponged:
            self._ponged.notify_all()

    def _leave_served(self) -> None:
        for served in list(self._served.values()):
            served.leave()
