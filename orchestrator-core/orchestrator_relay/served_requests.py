"""The requests that this end of a connection answers, each in a thread of its own."""

from __future__ import annotations

from orchestrator_relay.errors import BadFrame
from orchestrator_relay.frames import End, Frame, FrameKind, credit_of, encode_end, end_of
from orchestrator_relay.heads import RequestHead
from orchestrator_relay.outbox import SendQueue
from orchestrator_relay.server_stream import Serve, ServedStream
from orchestrator_relay.workers import Workers


class ServedRequests:
    """`take` is for the reading thread; nothing here waits.

    Args:
        most: requests at once; what comes beyond is refused.
        name: of the threads.
    """

    def __init__(self, outbox: SendQueue, serve: Serve, most: int, name: str) -> None:
        self._outbox = outbox
        self._serve = serve
        self._workers = Workers(most, name)
        self._streams: dict[int, ServedStream] = {}
        self._last = 0

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._streams)

    def take(self, frame: Frame) -> None:
        """A frame of a stream, from the other side. `SendQueue.owing` is true when it has to be answered.

        Raises:
            BadFrame: it may not come, or not now.
        """
        if frame.kind is FrameKind.REQUEST:
            self._begin(frame)
            return
        stream = self._stream_of(frame)
        if frame.kind is FrameKind.BODY:
            if stream is not None:
                stream.take_body(frame.payload)
        elif frame.kind is FrameKind.END:
            end_of(frame)
            if stream is not None:
                stream.take_end()
        elif frame.kind is FrameKind.CREDIT:
            count = credit_of(frame)
            if stream is not None:
                stream.outflow.add(count)
        elif frame.kind is FrameKind.CANCEL:
            if stream is not None:
                stream.leave()
        else:
            raise BadFrame(f"a {frame.kind.name} frame, where only requests may come")

    def leave(self) -> None:
        """The connection has ended: nobody waits for any answer."""
        for stream in list(self._streams.values()):
            stream.leave()

    def _begin(self, frame: Frame) -> None:
        number = frame.stream
        if number <= self._last:
            raise BadFrame(f"a request with the number {number} after {self._last}")
        self._last = number
        stream = ServedStream(number, RequestHead.unpack(frame.payload), self._outbox.send)
        self._streams[number] = stream

        def task() -> None:
            try:
                stream.run(self._serve)
            finally:
                self._streams.pop(number, None)

        if not self._workers.begin(task):
            del self._streams[number]
            self._outbox.reply(encode_end(number, End.REFUSED))

    def _stream_of(self, frame: Frame) -> ServedStream | None:
        """None for a stream that has ended meanwhile.

        Raises:
            BadFrame: for one that never was.
        """
        if frame.stream > self._last:
            raise BadFrame(f"a {frame.kind.name} frame for stream {frame.stream}, which was never opened")
        return self._streams.get(frame.stream)
