"""A request sent over the relay, and its answer as it comes: the end that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from orchestrator_relay.errors import AnswerLost, BadFrame, BodyUnwanted, RequestNotSent
from orchestrator_relay.flow import Inflow, Outflow
from orchestrator_relay.frames import End
from orchestrator_relay.heads import ResponseHead
from orchestrator_relay.waiter import Waiter


class RelayStream:
    """The answer to one request.

    Args:
        grant: sends credit for so many bytes.
        leave: called once, with whether the other side has to be told.
    """

    def __init__(self, stream: int, grant: Callable[[int], None], leave: Callable[[bool], None]) -> None:
        self.stream = stream
        self.outflow = Outflow()
        self._inflow = Inflow(grant)
        self._leave = leave
        self._head: ResponseHead | None = None
        self._head_waiter = Waiter()
        self._left = False

    def __repr__(self) -> str:
        return f"RelayStream({self.stream})"

    @property
    def status(self) -> int:
        return self._known_head().status

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; of a repeated name the last."""
        return {name.lower(): value for name, value in self._known_head().headers}

    @property
    def header_list(self) -> tuple[tuple[str, str], ...]:
        """As they came; a name may be there several times."""
        return self._known_head().headers

    def wait_for_head(self, timeout_s: float) -> None:
        """
        Raises:
            AnswerLost: the connection ended first, or it took too long; the stream is left.
            RequestNotSent: the other side had no free place; nothing happened.
        """
        if not self._head_waiter.wait(timeout_s):
            self.close()
            raise AnswerLost(
                f"The other tier did not begin its answer within {timeout_s:g} s.", code="tier_timeout"
            )
        if self._head_waiter.error is not None:
            raise self._head_waiter.error

    def chunks(self) -> Iterator[bytes]:
        """The body, as it comes.

        Raises:
            AnswerLost: the tier was lost, or its answer broke off, before the end.
        """
        try:
            while data := self._inflow.read():
                yield data
        finally:
            self.close()

    def close(self) -> None:
        if self._left:
            return
        self._left = True
        ended = self._inflow.ended
        self._inflow.drop()
        self.outflow.end(BodyUnwanted("The answer has come."))
        self._head_waiter.done(AnswerLost("The answer was not waited for."))
        self._leave(not ended)

    # What the connection's reader calls. None of it waits.

    def take_head(self, head: ResponseHead) -> None:
        if self._head is not None:
            raise BadFrame(f"a second HEAD on stream {self.stream}")
        self._head = head
        self.outflow.end(BodyUnwanted("The answer has come."))
        self._head_waiter.done()

    def take_chunk(self, data: bytes) -> None:
        if self._head is None:
            raise BadFrame(f"a CHUNK before the HEAD of stream {self.stream}")
        self._inflow.put(data)

    def take_end(self, end: End) -> None:
        """
        Raises:
            BadFrame: it ends well, and nothing had come.
        """
        if end is End.WHOLE and self._head is None:
            raise BadFrame(f"an END before the HEAD of stream {self.stream}")
        if end is End.WHOLE:
            self._finish(None)
        elif end is End.REFUSED and self._head is None:
            self._finish(
                RequestNotSent("The other tier serves as many requests as it may.", code="tier_busy")
            )
        else:
            self._finish(AnswerLost("The other tier failed in the middle of its answer."))

    def lose(self, why: str) -> None:
        self._finish(AnswerLost(f"The connection to the other tier was lost: {why}."))

    def _finish(self, error: Exception | None) -> None:
        self._inflow.end(error)
        self.outflow.end(error or BodyUnwanted("The answer has come."))
        self._head_waiter.done(error)

    def _known_head(self) -> ResponseHead:
        if self._head is None:
            raise RuntimeError("The answer has no head yet.")
        return self._head
