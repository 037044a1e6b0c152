"""A request that came over the relay, and the way its answer goes out: the end that answers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from orchestrator_relay.errors import AnswerUnwanted, BadFrame, BodyCutShort
from orchestrator_relay.flow import Inflow, Outflow
from orchestrator_relay.frames import (
    CHUNK_BYTES,
    End,
    FrameKind,
    encode,
    encode_credit,
    encode_end,
)
from orchestrator_relay.heads import Headers, RequestHead, ResponseHead


class ServedResponse(NamedTuple):
    """What a `Serve` gives back; `body` is closed, if it can be, when it was sent or is not wanted."""

    status: int
    headers: Headers
    body: Iterable[bytes]


Serve = Callable[[RequestHead, "RequestBody"], ServedResponse]
"""Answers one request, in a thread of its own. An exception is logged and ends the stream."""


class RequestBody(io.RawIOBase):
    """The body as a file. Reading waits for what has not come yet.

    Raises (when reading):
        BodyCutShort.
    """

    def __init__(self, size: int, inflow: Inflow, gone: Callable[[], bool]) -> None:
        super().__init__()
        self._left = size
        self._inflow = inflow
        self.gone = gone
        """Whether nobody waits for the answer any more."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._left == 0:
            return 0
        data = self._inflow.read(min(len(buffer), self._left))
        if not data:
            raise BodyCutShort("The body of the request was cut short.")
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


class ServedStream:
    """
    Args:
        send: sends one frame; raises when the connection is closed.
    """

    def __init__(self, stream: int, head: RequestHead, send: Callable[[bytes], None]) -> None:
        self.stream = stream
        self.head = head
        self.outflow = Outflow()
        self._send = send
        self._expected = head.body
        self._gone = False
        self._inflow = Inflow(self._grant)
        self._body = RequestBody(head.body, self._inflow, lambda: self._gone)

    def run(self, serve: Serve) -> None:
        """Answer it, in the calling thread.

        Raises:
            Exception: whatever `serve` or the body it gave raised; the other side has been told.
        """
        try:
            answer = serve(self.head, self._body)
            self._send_answer(answer)
        except AnswerUnwanted:
            return
        except BaseException:
            self._send_quietly(encode_end(self.stream, End.BROKEN))
            raise
        finally:
            self._inflow.drop()
            self._body.close()

    def take_body(self, data: bytes) -> None:
        if len(data) > self._expected:
            raise BadFrame(f"more body than announced on stream {self.stream}")
        self._expected -= len(data)
        self._inflow.put(data)

    def take_end(self) -> None:
        self._expected = 0
        self._inflow.end(BodyCutShort("The body of the request was cut short."))

    def leave(self) -> None:
        """The other side has gone, or wants no more. Does not wait."""
        self._gone = True
        self._inflow.end(BodyCutShort("The client has gone."))
        self.outflow.end(AnswerUnwanted("The client has left."))

    def _send_answer(self, answer: ServedResponse) -> None:
        try:
            head = ResponseHead(status=answer.status, headers=answer.headers).pack()
            self._send_if_wanted(encode(FrameKind.HEAD, self.stream, head))
            for part in answer.body:
                for piece in self._pieces(part):
                    self._send_if_wanted(encode(FrameKind.CHUNK, self.stream, piece))
            self._send_if_wanted(encode_end(self.stream))
        finally:
            close = getattr(answer.body, "close", None)
            if close is not None:
                close()

    def _pieces(self, part: bytes) -> Iterator[bytes | memoryview]:
        """`part` in pieces no larger than a frame and the credit there is."""
        rest = memoryview(part)
        while rest:
            allowed = self.outflow.take(min(len(rest), CHUNK_BYTES))
            yield rest[:allowed]
            rest = rest[allowed:]

    def _send_if_wanted(self, frame: bytes) -> None:
        if self._gone:
            raise AnswerUnwanted("The client has left.")
        try:
            self._send(frame)
        except OSError:
            self.leave()
            raise AnswerUnwanted("The client has left.") from None

    def _send_quietly(self, frame: bytes) -> None:
        if not self._gone:
            try:
                self._send(frame)
            except OSError:
                self.leave()

    def _grant(self, count: int) -> None:
        self._send_quietly(encode_credit(self.stream, count))
