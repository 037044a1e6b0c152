"""Both ends of a connection over a real loopback socket."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from orchestrator_core.errors import InvalidRequest, TierLost, TierUnreachable
from orchestrator_core.relay import heads
from orchestrator_core.relay.flow import WINDOW
from orchestrator_core.relay.frames import (
    End,
    Kind,
    decode,
    encode,
    encode_credit,
    encode_end,
    encode_ping,
)
from orchestrator_core.relay.heads import Goodbye, RequestHead, ResponseHead, Status
from orchestrator_core.relay.message_socket import MessageSocket, SocketClosed
from orchestrator_core.relay.serving import Answer, RequestBody
from support.relay_ends import answering, connected, echo, get, half_connected

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

    def swallow(head: RequestHead, given: RequestBody) -> Answer:
        whole = b"".join(iter(lambda: given.read(5000) or b"", b""))
        assert len(whole) == head.body
        return Answer(200, (), [whole])

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

    def serve(head: RequestHead, given: RequestBody) -> Answer:
        return Answer(200, (), [large] if head.target == "/stalled" else [b"quick"] * 20)

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
        _until(lambda: vps.streams == 1)


def test_leaving_is_seen_by_one_who_sends_nothing() -> None:
    left = threading.Event()

    def serve(head: RequestHead, given: RequestBody) -> Answer:
        def body() -> Iterator[bytes]:
            yield b"begin"
            _until(given.gone)
            left.set()

        return Answer(200, (), body())

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
    def serve(head: RequestHead, given: RequestBody) -> Answer:
        if head.target == "/before":
            raise ZeroDivisionError

        def body() -> Iterator[bytes]:
            yield b"half"
            raise ZeroDivisionError

        return Answer(200, (), body())

    with connected(serve) as (vps, _):
        with pytest.raises(TierLost, match="failed in the middle"):
            vps.open(get("/before"))
        got = b""
        with pytest.raises(TierLost, match="failed in the middle"):
            for part in vps.open(get("/middle")).chunks():
                got += part
        assert got == b"half"
        assert vps.streams == 0
        _until(lambda: caplog.text.count("request that came over the relay failed") == 2)


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
        with pytest.raises(TierUnreachable, match="under way") as caught:
            vps.open(get())
        assert not isinstance(caught.value, TierLost)
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
        with pytest.raises(TierUnreachable, match="as many requests as it may") as caught:
            vps.open(RequestHead(method="POST", target="/"), bytes(3 * WINDOW))
        assert not isinstance(caught.value, TierLost)
        go_on.set()
        assert b"".join(held.chunks()) == b"begin"


def test_a_whole_connection_keeps_a_window_for_each_place_and_no_more() -> None:
    """Nobody reads the answers, which never end."""
    places = 3
    endless = answering(lambda: iter(lambda: bytes(5000), None))
    with connected(endless, vps={"max_streams": places}) as (vps, _):
        stalled = [vps.open(get()) for _ in range(places)]
        _until(lambda: all(one._inflow.buffered == WINDOW for one in stalled))
        with pytest.raises(TierUnreachable):
            vps.open(get())
        # Every other frame still comes through, and brings nothing more of these.
        assert vps.ping(SOON_S)
        assert sum(one._inflow.buffered for one in stalled) == places * WINDOW


def test_the_head_must_come_in_time() -> None:
    seen_gone = threading.Event()

    def serve(head: RequestHead, given: RequestBody) -> Answer:
        _until(given.gone)
        seen_gone.set()
        return Answer(200, (), [])

    with connected(serve) as (vps, _):
        with pytest.raises(TierLost, match=r"within 0\.05 s"):
            vps.open(get(), timeout_s=0.05)
        assert seen_gone.wait(SOON_S)


def test_a_body_nobody_reads_times_out() -> None:
    go_on = threading.Event()

    def serve(head: RequestHead, given: RequestBody) -> Answer:
        go_on.wait(SOON_S)
        return Answer(200, (), [])

    with connected(serve) as (vps, _):
        with pytest.raises(TierLost, match="did not read"):
            vps.open(RequestHead(method="POST", target="/"), bytes(WINDOW + 1), timeout_s=0.05)
        go_on.set()


def test_headers_that_are_too_large_are_the_callers_fault() -> None:
    headers = tuple((f"X-{number}", "y" * 30_000) for number in range(4))
    with connected(echo) as (vps, _):
        with pytest.raises(InvalidRequest, match="too large to be relayed"):
            vps.open(RequestHead(method="GET", target="/", headers=headers))
        assert vps.open(get()).status == 200


def test_a_lost_connection_ends_everything_at_once() -> None:
    began, gone = threading.Event(), threading.Event()

    def serve(head: RequestHead, given: RequestBody) -> Answer:
        if head.target == "/silent":
            began.set()
            _until(given.gone)
            gone.set()
        return Answer(200, (), iter(lambda: b"x" * 100, None))

    with connected(serve) as (vps, desktop), ThreadPoolExecutor(2) as pool:
        stream = vps.open(get("/stream"))
        waiting = pool.submit(vps.open, get("/silent"))
        assert began.wait(SOON_S)
        desktop.close()
        with pytest.raises(TierLost):
            waiting.result(SOON_S)
        with pytest.raises(TierLost):
            for _ in stream.chunks():
                pass
        assert gone.wait(SOON_S)
        with pytest.raises(TierUnreachable) as caught:
            vps.open(get())
        assert not isinstance(caught.value, TierLost)
        ending = vps.wait(SOON_S)
        assert ending is not None and ending.by_peer
        _until(lambda: desktop.streams == 0)


def test_pings_tell_the_status_and_asking_for_one_is_answered() -> None:
    told: list[Status] = []
    desktop = {"status": lambda: Status(queue=3, ready=True), "heartbeat_s": 0.02}
    with connected(echo, desktop=desktop, vps={"on_status": told.append}) as (vps, _):
        assert vps.ping(SOON_S)
        _until(lambda: len(told) > 3)
        assert vps.peer == Status(queue=3, ready=True)
        assert vps.ending is None


def test_a_changed_status_is_told_at_once() -> None:
    now = Status()
    with connected(echo, desktop={"status": lambda: now, "heartbeat_s": 60}, vps={"heartbeat_s": 60}) as (
        vps,
        desktop,
    ):
        _until(lambda: vps.peer is not None)
        now = Status(ready=True)
        desktop.tell_status()
        _until(lambda: vps.peer == now)


def test_notices_and_their_answers() -> None:
    seen: list[str] = []
    with connected(echo, desktop={"on_notice": seen.append}, vps={"on_synced": seen.append}) as (
        vps,
        desktop,
    ):
        vps.notice("0123456789abcdef")
        _until(lambda: seen == ["0123456789abcdef"])
        desktop.synced("0123456789abcdef")
        _until(lambda: len(seen) == 2)


def test_goodbye_says_why() -> None:
    with connected(echo) as (vps, desktop):
        vps.goodbye(heads.REVOKED, "This desktop was taken off the list.")
        ending = desktop.wait(SOON_S)
        assert ending == (heads.REVOKED, "This desktop was taken off the list.", True)
        assert vps.ending is not None and not vps.ending.by_peer


def test_a_side_that_says_nothing_is_lost() -> None:
    with half_connected(silence_s=0.2, heartbeat_s=0.05) as (connection, _):
        ending = connection.wait(SOON_S)
        assert ending is not None and (ending.code, ending.by_peer) == (heads.SILENT, False)


def test_a_side_that_pings_but_never_answers_is_lost() -> None:
    with half_connected(silence_s=0.3, heartbeat_s=0.05) as (connection, far):

        def ping_on() -> None:
            try:
                for number in range(10_000):
                    far.send(encode_ping(Kind.PING, number, Status().pack()))
                    threading.Event().wait(0.01)
            except SocketClosed:
                pass

        pinging = threading.Thread(target=ping_on)
        pinging.start()
        ending = connection.wait(SOON_S)
        assert ending is not None and ending.code == heads.SILENT
        pinging.join(SOON_S)


def test_one_that_answers_pings_stays() -> None:
    with half_connected(silence_s=0.3, heartbeat_s=0.05) as (connection, far):
        for _ in range(30):
            _answer_ping(far)
        assert connection.ending is None


def test_a_side_that_reads_nothing_holds_up_no_reader_and_is_lost() -> None:
    """It sends pings without end and never takes the answers: both directions fill up."""
    with half_connected(silence_s=0.5, heartbeat_s=0.05, serve=answering([bytes(WINDOW)])) as (
        connection,
        far,
    ):
        try:
            for number in range(1, 200_000):
                far.send(encode_ping(Kind.PING, number, Status().pack()))
                if number < 100:
                    far.send(encode(Kind.REQUEST, number, get().pack()))
        except SocketClosed:
            pass
        assert connection.wait(SOON_S) is not None


VIOLATIONS = {
    "no frame": b"\x99nonsense",
    "empty": b"",
    "no JSON": encode(Kind.REQUEST, 1, b"{]"),
    "greeting again": encode(Kind.HELLO, 0, b"{}"),
    "answer from the asking side": encode(Kind.CHUNK, 1, b"x"),
    "head from the asking side": encode(Kind.HEAD, 1, ResponseHead(status=200).pack()),
    "body of nothing": encode(Kind.BODY, 1, b"x"),
    "end of nothing": encode_end(7),
    "cancel of nothing": encode(Kind.CANCEL, 3),
    "credit for nothing": encode_credit(2, 5),
    "pong to nothing": encode_ping(Kind.PONG, 999, Status().pack()),
    "status of garbage": encode(Kind.PING, 0, b"\x00\x00\x00\x01[1,2]"),
}


@pytest.mark.parametrize("message", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_violation_closes_the_connection_with_a_reason(
    message: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with half_connected(serve=echo, heartbeat_s=60) as (connection, far), caplog.at_level(logging.INFO):
        far.send(message)
        assert _goodbye(far).code == heads.PROTOCOL_ERROR
        ending = connection.wait(SOON_S)
        assert ending is not None and ending.code == heads.PROTOCOL_ERROR
    assert len(caplog.records) == 1
    assert "it sent" in caplog.text


REQUEST = encode(Kind.REQUEST, 5, RequestHead(method="POST", target="/", body=10).pack())

OUT_OF_ORDER = {
    "number used twice": [REQUEST, REQUEST],
    "number going back": [REQUEST, encode(Kind.REQUEST, 4, get().pack())],
    "more body than announced": [REQUEST, encode(Kind.BODY, 5, b"x" * 11)],
    "body behind its end": [REQUEST, encode_end(5), encode(Kind.BODY, 5, b"x")],
    "more credit than was sent": [REQUEST, encode_credit(5, 1)],
}


@pytest.mark.parametrize("messages", OUT_OF_ORDER.values(), ids=OUT_OF_ORDER.keys())
def test_frames_out_of_order_close_the_connection(messages: list[bytes]) -> None:
    hold = threading.Event()

    def serve(head: RequestHead, given: RequestBody) -> Answer:
        hold.wait(SOON_S)
        return Answer(200, (), [])

    with half_connected(serve=serve, heartbeat_s=60) as (_connection, far):
        for message in messages:
            far.send(message)
        assert _goodbye(far).code == heads.PROTOCOL_ERROR
        hold.set()


ANSWERS = {
    "chunk before head": [encode(Kind.CHUNK, 1, b"x")],
    "end before head": [encode_end(1)],
    "two heads": [encode(Kind.HEAD, 1, ResponseHead(status=200).pack())] * 2,
    "no head": [encode(Kind.HEAD, 1, b'{"status": 99}')],
    "request from the answering side": [encode(Kind.REQUEST, 1, get().pack())],
    "answer to nothing": [encode(Kind.CHUNK, 2, b"x")],
    "unknown end": [encode(Kind.END, 1, b"\x07")],
    "flood": [encode(Kind.HEAD, 1, ResponseHead(status=200).pack())]
    + [encode(Kind.CHUNK, 1, bytes(16384))] * 17,
}


@pytest.mark.parametrize("messages", ANSWERS.values(), ids=ANSWERS.keys())
def test_garbage_for_an_answer_loses_the_request_and_nothing_more(messages: list[bytes]) -> None:
    with half_connected(heartbeat_s=60) as (connection, far), ThreadPoolExecutor(1) as pool:

        def ask() -> bytes:
            stream = connection.open(get())
            connection.wait(SOON_S)
            return b"".join(stream.chunks())

        asked = pool.submit(ask)
        while decode(far.receive(SOON_S) or b"").kind is not Kind.REQUEST:
            pass
        try:
            for message in messages:
                far.send(message)
        except SocketClosed:
            pass
        with pytest.raises(TierLost):
            asked.result(SOON_S)
        ending = connection.wait(SOON_S)
        assert ending is not None and ending.code == heads.PROTOCOL_ERROR


def test_frames_of_a_stream_that_was_left_are_ignored() -> None:
    with half_connected(heartbeat_s=60) as (connection, far), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(connection.open, get(), b"", 0.05)
        while decode(far.receive(SOON_S) or b"").kind is not Kind.REQUEST:
            pass
        with pytest.raises(TierLost):
            asked.result(SOON_S)
        far.send(encode(Kind.HEAD, 1, ResponseHead(status=200).pack()))
        far.send(encode(Kind.CHUNK, 1, b"late"))
        far.send(encode_end(1, End.WHOLE))
        far.send(encode_ping(Kind.PING, 1, Status().pack()))
        while decode(far.receive(SOON_S) or b"").kind is not Kind.PONG:
            pass
        assert connection.ending is None


def test_repr_tells_no_secret_and_whether_it_lives() -> None:
    with connected(echo) as (vps, _):
        assert repr(vps) == "RelayConnection('vps-end', open)"


def test_no_thread_stays_behind() -> None:
    before = threading.active_count()
    for _ in range(5):
        with connected(answering([b"x"])) as (vps, _):
            vps.open(get()).close()
    _until(lambda: all("worker" in one.name for one in threading.enumerate()[before:]))


def _until(true: object) -> None:
    """Wait for a condition that nothing announces."""
    tick = threading.Event()
    for _ in range(2000):
        if true():  # type: ignore[operator]
            return
        tick.wait(0.01)
    raise AssertionError("it never came true")


def _goodbye(far: MessageSocket) -> Goodbye:
    while True:
        frame = decode(far.receive(SOON_S) or b"")
        if frame.kind is Kind.GOODBYE:
            return Goodbye.unpack(frame.payload)


def _answer_ping(far: MessageSocket) -> None:
    while True:
        frame = decode(far.receive(SOON_S) or b"")
        if frame.kind is Kind.PING:
            number = int.from_bytes(frame.payload[:4])
            far.send(encode_ping(Kind.PONG, number, Status().pack()))
            return


def test_a_goodbye_is_heard_by_a_side_that_was_just_writing() -> None:
    """Its writes fail, as the socket is closed already; what it could still read is read."""
    for _ in range(30):
        with connected(
            answering(lambda: iter(lambda: b"x" * 5000, None)), desktop={"heartbeat_s": 0.002}
        ) as (
            vps,
            desktop,
        ):
            vps.open(get())
            vps.goodbye(heads.REVOKED, "Off the list.")
            ending = desktop.wait(SOON_S)
            assert ending is not None and ending.code == heads.REVOKED
