"""Requests and their answers, over a real loopback socket."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from orchestrator_relay.errors import AnswerLost, HeadTooLarge, RequestNotSent
from orchestrator_relay.flow import WINDOW
from orchestrator_relay.heads import RequestHead
from orchestrator_relay.server_stream import RequestBody, ServedResponse
from support.relay_ends import answering, connected, echo, get
from support.waiting import wait_until

SOON_S = 20.0


def test_a_request_and_its_answer() -> None:
    with connected(answering([b"one ", b"", b"two"], status=201)) as (vps, _):
        stream = vps.open(get("/chat?x=1"))
        assert (stream.status, stream.headers["x-path"]) == (201, "/chat?x=1")
        assert b"".join(stream.chunks()) == b"one two"
        assert vps.streams == 0


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, WINDOW, 3 * WINDOW + 7])
def test_bodies_of_any_size_go_both_ways(size: int) -> None:
    body = bytes(number % 253 for number in range(size))

    def swallow(head: RequestHead, given: RequestBody) -> ServedResponse:
        whole = b"".join(iter(lambda: given.read(5000) or b"", b""))
        assert len(whole) == head.body
        return ServedResponse(200, (), [whole])

    with connected(swallow) as (vps, _):
        stream = vps.open(RequestHead(method="POST", target="/"), body)
        assert b"".join(stream.chunks()) == body


def test_a_chunk_is_there_before_the_next_one_is_made() -> None:
    go_on = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"first"
        assert go_on.wait(SOON_S)
        yield b"second"

    with connected(answering(body)) as (vps, _):
        chunks = vps.open(get()).chunks()
        assert next(chunks) == b"first"
        go_on.set()
        assert next(chunks) == b"second"
        assert next(chunks, None) is None


def test_a_reader_that_stalls_holds_nobody_else_up() -> None:
    large = bytes(4 * WINDOW)

    def serve(head: RequestHead, given: RequestBody) -> ServedResponse:
        return ServedResponse(200, (), [large] if head.target == "/stalled" else [b"quick"] * 20)

    with connected(serve) as (vps, _), ThreadPoolExecutor(49) as pool:
        stalled = vps.open(get("/stalled"))

        def read(number: int) -> bytes:
            return b"".join(vps.open(get(f"/{number}")).chunks())

        answers = list(pool.map(read, range(49)))
        assert answers == [b"quick" * 20] * 49
        assert stalled._inflow.buffered <= WINDOW
        assert b"".join(stalled.chunks()) == large


def test_leaving_an_answer_ends_it_on_the_other_side() -> None:
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 1000

        def close(self) -> None:
            closed.set()

    with connected(answering(Endless())) as (vps, _desktop):
        stream = vps.open(get())
        assert next(stream.chunks())
        stream.close()
        assert closed.wait(SOON_S)
        assert vps.open(get()).status == 200
        wait_until(lambda: vps.streams == 1)


def test_leaving_is_seen_by_one_who_sends_nothing() -> None:
    left = threading.Event()

    def serve(head: RequestHead, given: RequestBody) -> ServedResponse:
        def body() -> Iterator[bytes]:
            yield b"begin"
            wait_until(given.gone)
            left.set()

        return ServedResponse(200, (), body())

    with connected(serve) as (vps, _):
        stream = vps.open(get())
        assert next(stream.chunks()) == b"begin"
        stream.close()
        assert left.wait(SOON_S)


def test_closing_from_another_thread_ends_a_waiting_reader() -> None:
    never = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"begin"
        never.wait(SOON_S)

    with connected(answering(body)) as (vps, _):
        stream = vps.open(get())
        chunks = stream.chunks()
        next(chunks)
        threading.Timer(0.05, stream.close).start()
        assert next(chunks, None) is None
        never.set()


def test_a_failure_before_the_head_and_one_in_the_middle(caplog: pytest.LogCaptureFixture) -> None:
    def serve(head: RequestHead, given: RequestBody) -> ServedResponse:
        if head.target == "/before":
            raise ZeroDivisionError

        def body() -> Iterator[bytes]:
            yield b"half"
            raise ZeroDivisionError

        return ServedResponse(200, (), body())

    with connected(serve) as (vps, _):
        with pytest.raises(AnswerLost, match="failed in the middle"):
            vps.open(get("/before"))
        got = b""
        with pytest.raises(AnswerLost, match="failed in the middle"):
            for part in vps.open(get("/middle")).chunks():
                got += part
        assert got == b"half"
        assert vps.streams == 0
        wait_until(lambda: caplog.text.count("request that came over the relay failed") == 2)


def test_an_answer_that_comes_before_the_body_was_read() -> None:
    """As a 401 or 413 does: the rest of the body is not sent."""
    with connected(answering([b"too large"], status=413)) as (vps, _):
        stream = vps.open(RequestHead(method="POST", target="/"), bytes(20 * WINDOW))
        assert stream.status == 413
        assert b"".join(stream.chunks()) == b"too large"


def test_more_requests_than_there_are_places() -> None:
    go_on = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"begin"
        go_on.wait(SOON_S)

    with connected(answering(body), vps={"max_streams": 2}) as (vps, _):
        held = [vps.open(get()), vps.open(get())]
        with pytest.raises(RequestNotSent, match="under way") as caught:
            vps.open(get())
        assert not isinstance(caught.value, AnswerLost)
        go_on.set()
        assert [b"".join(one.chunks()) for one in held] == [b"begin"] * 2
        assert vps.open(get()).status == 200


def test_the_other_side_has_fewer_places() -> None:
    go_on = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"begin"
        go_on.wait(SOON_S)

    with connected(answering(body), desktop={"max_streams": 1}) as (vps, _):
        held = vps.open(get())
        with pytest.raises(RequestNotSent, match="as many requests as it may") as caught:
            vps.open(RequestHead(method="POST", target="/"), bytes(3 * WINDOW))
        assert not isinstance(caught.value, AnswerLost)
        go_on.set()
        assert b"".join(held.chunks()) == b"begin"


def test_a_whole_connection_keeps_a_window_for_each_place_and_no_more() -> None:
    """Nobody reads the answers, which never end."""
    places = 3
    endless = answering(lambda: iter(lambda: bytes(5000), None))
    with connected(endless, vps={"max_streams": places}) as (vps, _):
        stalled = [vps.open(get()) for _ in range(places)]
        wait_until(lambda: all(one._inflow.buffered == WINDOW for one in stalled))
        with pytest.raises(RequestNotSent):
            vps.open(get())
        # Every other frame still comes through, and brings nothing more of these.
        assert vps.ping(SOON_S)
        assert sum(one._inflow.buffered for one in stalled) == places * WINDOW


def test_the_head_must_come_in_time() -> None:
    seen_gone = threading.Event()

    def serve(head: RequestHead, given: RequestBody) -> ServedResponse:
        wait_until(given.gone)
        seen_gone.set()
        return ServedResponse(200, (), [])

    with connected(serve) as (vps, _):
        with pytest.raises(AnswerLost, match=r"within 0\.05 s"):
            vps.open(get(), timeout_s=0.05)
        assert seen_gone.wait(SOON_S)


def test_a_body_nobody_reads_times_out() -> None:
    go_on = threading.Event()

    def serve(head: RequestHead, given: RequestBody) -> ServedResponse:
        go_on.wait(SOON_S)
        return ServedResponse(200, (), [])

    with connected(serve) as (vps, _):
        with pytest.raises(AnswerLost, match="did not read"):
            vps.open(RequestHead(method="POST", target="/"), bytes(WINDOW + 1), timeout_s=0.05)
        go_on.set()


def test_headers_that_are_too_large_are_the_callers_fault() -> None:
    headers = tuple((f"X-{number}", "y" * 30_000) for number in range(4))
    with connected(echo) as (vps, _):
        with pytest.raises(HeadTooLarge, match="too large to be relayed"):
            vps.open(RequestHead(method="GET", target="/", headers=headers))
        assert vps.open(get()).status == 200
