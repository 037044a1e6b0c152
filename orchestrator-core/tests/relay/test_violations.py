"""What breaks the protocol ends the connection, and harms nothing else."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from orchestrator_relay import heads
from orchestrator_relay.errors import AnswerLost, SocketClosed
from orchestrator_relay.frames import (
    End,
    FrameKind,
    decode,
    encode,
    encode_credit,
    encode_end,
    encode_ping,
)
from orchestrator_relay.heads import Goodbye, RequestHead, ResponseHead, Status
from orchestrator_relay.message_socket import MessageSocket
from orchestrator_relay.server_stream import RequestBody, ServedResponse
from support.relay_ends import echo, get, half_connected

SOON_S = 20.0


VIOLATIONS = {
    "no frame": b"\x99nonsense",
    "empty": b"",
    "no JSON": encode(FrameKind.REQUEST, 1, b"{]"),
    "greeting again": encode(FrameKind.HELLO, 0, b"{}"),
    "answer from the asking side": encode(FrameKind.CHUNK, 1, b"x"),
    "head from the asking side": encode(FrameKind.HEAD, 1, ResponseHead(status=200).pack()),
    "body of nothing": encode(FrameKind.BODY, 1, b"x"),
    "end of nothing": encode_end(7),
    "cancel of nothing": encode(FrameKind.CANCEL, 3),
    "credit for nothing": encode_credit(2, 5),
    "pong to nothing": encode_ping(FrameKind.PONG, 999, Status().pack()),
    "status of garbage": encode(FrameKind.PING, 0, b"\x00\x00\x00\x01[1,2]"),
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


REQUEST = encode(FrameKind.REQUEST, 5, RequestHead(method="POST", target="/", body=10).pack())


OUT_OF_ORDER = {
    "number used twice": [REQUEST, REQUEST],
    "number going back": [REQUEST, encode(FrameKind.REQUEST, 4, get().pack())],
    "more body than announced": [REQUEST, encode(FrameKind.BODY, 5, b"x" * 11)],
    "body behind its end": [REQUEST, encode_end(5), encode(FrameKind.BODY, 5, b"x")],
    "more credit than was sent": [REQUEST, encode_credit(5, 1)],
}


@pytest.mark.parametrize("messages", OUT_OF_ORDER.values(), ids=OUT_OF_ORDER.keys())
def test_frames_out_of_order_close_the_connection(messages: list[bytes]) -> None:
    hold = threading.Event()

    def serve(head: RequestHead, given: RequestBody) -> ServedResponse:
        hold.wait(SOON_S)
        return ServedResponse(200, (), [])

    with half_connected(serve=serve, heartbeat_s=60) as (_connection, far):
        for message in messages:
            far.send(message)
        assert _goodbye(far).code == heads.PROTOCOL_ERROR
        hold.set()


ANSWERS = {
    "chunk before head": [encode(FrameKind.CHUNK, 1, b"x")],
    "end before head": [encode_end(1)],
    "two heads": [encode(FrameKind.HEAD, 1, ResponseHead(status=200).pack())] * 2,
    "no head": [encode(FrameKind.HEAD, 1, b'{"status": 99}')],
    "request from the answering side": [encode(FrameKind.REQUEST, 1, get().pack())],
    "answer to nothing": [encode(FrameKind.CHUNK, 2, b"x")],
    "unknown end": [encode(FrameKind.END, 1, b"\x07")],
    "flood": [encode(FrameKind.HEAD, 1, ResponseHead(status=200).pack())]
    + [encode(FrameKind.CHUNK, 1, bytes(16384))] * 17,
}


@pytest.mark.parametrize("messages", ANSWERS.values(), ids=ANSWERS.keys())
def test_garbage_for_an_answer_loses_the_request_and_nothing_more(messages: list[bytes]) -> None:
    with half_connected(heartbeat_s=60) as (connection, far), ThreadPoolExecutor(1) as pool:

        def ask() -> bytes:
            stream = connection.open(get())
            connection.wait(SOON_S)
            return b"".join(stream.chunks())

        asked = pool.submit(ask)
        while decode(far.receive(SOON_S) or b"").kind is not FrameKind.REQUEST:
            pass
        try:
            for message in messages:
                far.send(message)
        except SocketClosed:
            pass
        with pytest.raises(AnswerLost):
            asked.result(SOON_S)
        ending = connection.wait(SOON_S)
        assert ending is not None and ending.code == heads.PROTOCOL_ERROR


def test_frames_of_a_stream_that_was_left_are_ignored() -> None:
    with half_connected(heartbeat_s=60) as (connection, far), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(connection.open, get(), b"", 0.05)
        while decode(far.receive(SOON_S) or b"").kind is not FrameKind.REQUEST:
            pass
        with pytest.raises(AnswerLost):
            asked.result(SOON_S)
        far.send(encode(FrameKind.HEAD, 1, ResponseHead(status=200).pack()))
        far.send(encode(FrameKind.CHUNK, 1, b"late"))
        far.send(encode_end(1, End.WHOLE))
        far.send(encode_ping(FrameKind.PING, 1, Status().pack()))
        while decode(far.receive(SOON_S) or b"").kind is not FrameKind.PONG:
            pass
        assert connection.ending is None


def _goodbye(far: MessageSocket) -> Goodbye:
    while True:
        frame = decode(far.receive(SOON_S) or b"")
        if frame.kind is FrameKind.GOODBYE:
            return Goodbye.unpack(frame.payload)
