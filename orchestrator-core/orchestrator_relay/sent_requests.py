"""The requests that this end of a connection has sent, and the frames that answer them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from orchestrator_relay.client_stream import RelayStream
from orchestrator_relay.errors import (
    AnswerLost,
    BadFrame,
    BodyUnwanted,
    HeadTooLarge,
    RequestNotSent,
    SocketClosed,
)
from orchestrator_relay.frames import (
    CHUNK_BYTES,
    HEAD_BYTES,
    MAX_STREAM,
    End,
    Frame,
    FrameKind,
    credit_of,
    encode,
    encode_credit,
    encode_end,
    end_of,
)
from orchestrator_relay.heads import RequestHead, ResponseHead
from orchestrator_relay.outbox import SendQueue


class SentRequests:
    """Safe from any thread; `take` and `lose` never wait.

    Args:
        most: requests under way at once.
    """

    def __init__(self, outbox: SendQueue, most: int) -> None:
        self._outbox = outbox
        self._most = most
        self._lock = threading.Lock()
        self._streams: dict[int, RelayStream] = {}
        self._last = 0
        self._lost: str | None = None

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._streams)

    def open(
        self,
        head: RequestHead,
        body: bytes,
        timeout_s: float,
        begun: Callable[[RelayStream], object] | None = None,
    ) -> RelayStream:
        """See `RelayConnection.open`."""
        packed = head.model_copy(update={"body": len(body)}).pack()
        if len(packed) > HEAD_BYTES:
            raise HeadTooLarge(
                f"The request's headers are too large to be relayed: {len(packed)} bytes, "
                f"where {HEAD_BYTES} may be."
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

    def take(self, frame: Frame) -> None:
        """A frame of a stream, from the other side.

        Raises:
            BadFrame: it may not come, or not now.
        """
        stream = self._stream_of(frame)
        if frame.kind is FrameKind.CHUNK:
            if stream is not None:
                stream.take_chunk(frame.payload)
        elif frame.kind is FrameKind.HEAD:
            if stream is not None:
                stream.take_head(ResponseHead.unpack(frame.payload))
        elif frame.kind is FrameKind.END:
            end = end_of(frame)
            if stream is not None:
                stream.take_end(end)
                self._leave(frame.stream, tell=False)
        elif frame.kind is FrameKind.CREDIT:
            count = credit_of(frame)
            if stream is not None:
                stream.outflow.add(count)
        else:
            raise BadFrame(f"a {frame.kind.name} frame, where only answers may come")

    def lose(self, why: str) -> None:
        """The connection has ended: so has every request, and no more can be sent."""
        with self._lock:
            self._lost = why
            streams = list(self._streams.values())
            self._streams.clear()
        for stream in streams:
            stream.lose(why)

    def _stream_of(self, frame: Frame) -> RelayStream | None:
        """None for a stream that was left meanwhile.

        Raises:
            BadFrame: for one that never was.
        """
        if frame.stream > self._last:
            raise BadFrame(f"a {frame.kind.name} frame for stream {frame.stream}, which was never opened")
        return self._streams.get(frame.stream)

    def _begin(self, packed: bytes) -> RelayStream:
        """Numbers are given in the order of sending: the other side relies on that."""
        begun: list[RelayStream] = []

        def make() -> bytes:
            begun.append(self._enter())
            return encode(FrameKind.REQUEST, begun[0].stream, packed)

        try:
            self._outbox.send_made(make)
        except SocketClosed as error:
            self._leave(begun[0].stream, tell=False)
            raise RequestNotSent(f"The other tier cannot be reached: {error}.") from None
        return begun[0]

    def _enter(self) -> RelayStream:
        with self._lock:
            if self._lost is not None:
                raise RequestNotSent(f"The other tier cannot be reached: {self._lost}.")
            if len(self._streams) >= self._most or self._last == MAX_STREAM:
                raise RequestNotSent(
                    f"{len(self._streams)} requests to the other tier are under way; there may be no more.",
                    code="tier_busy",
                )
            self._last += 1
            number = self._last
            stream = RelayStream(
                number,
                lambda count: self._send_quietly(encode_credit(number, count)),
                lambda tell: self._leave(number, tell),
            )
            self._streams[number] = stream
            return stream

    def _send_body(self, stream: RelayStream, body: bytes, timeout_s: float) -> None:
        rest = memoryview(body)
        try:
            while rest:
                allowed = stream.outflow.take(min(len(rest), CHUNK_BYTES), timeout_s)
                self._outbox.send(encode(FrameKind.BODY, stream.stream, rest[:allowed]))
                rest = rest[allowed:]
        except BodyUnwanted:
            self._send_quietly(encode_end(stream.stream, End.BROKEN))
        except SocketClosed as error:
            raise AnswerLost(f"The connection to the other tier was lost: {error}.") from None
        except TimeoutError:
            raise AnswerLost(
                f"The other tier did not read the request within {timeout_s:g} s.", code="tier_timeout"
            ) from None

    def _leave(self, number: int, tell: bool) -> None:
        with self._lock:
            self._streams.pop(number, None)
        if tell and self._lost is None:
            self._send_quietly(encode(FrameKind.CANCEL, number))

    def _send_quietly(self, frame: bytes) -> None:
        """Of a closed connection the streams hear in another way."""
        with contextlib.suppress(SocketClosed):
            self._outbox.send(frame)
