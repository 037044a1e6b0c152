"""Pings, what they tell, and who is given up for lost."""

import threading

from orchestrator_relay import heads
from orchestrator_relay.errors import SocketClosed
from orchestrator_relay.flow import WINDOW
from orchestrator_relay.frames import (
    FrameKind,
    decode,
    encode,
    encode_ping,
)
from orchestrator_relay.heads import Status
from orchestrator_relay.message_socket import MessageSocket
from support.relay_ends import answering, connected, echo, get, half_connected
from support.waiting import wait_until

SOON_S = 20.0


def test_pings_tell_the_status_and_asking_for_one_is_answered() -> None:
    told: list[Status] = []
    desktop = {"status": lambda: Status(queue=3, ready=True), "heartbeat_s": 0.02}
    with connected(echo, desktop=desktop, vps={"on_status": told.append}) as (vps, _):
        assert vps.ping(SOON_S)
        wait_until(lambda: len(told) > 3)
        assert vps.peer == Status(queue=3, ready=True)
        assert vps.ending is None


def test_a_changed_status_is_told_at_once() -> None:
    now = Status()
    with connected(echo, desktop={"status": lambda: now, "heartbeat_s": 60}, vps={"heartbeat_s": 60}) as (
        vps,
        desktop,
    ):
        wait_until(lambda: vps.peer is not None)
        now = Status(ready=True)
        desktop.tell_status()
        wait_until(lambda: vps.peer == now)


def test_a_side_that_says_nothing_is_lost() -> None:
    with half_connected(silence_s=0.2, heartbeat_s=0.05) as (connection, _):
        ending = connection.wait(SOON_S)
        assert ending is not None and (ending.code, ending.by_peer) == (heads.SILENT, False)


def test_a_side_that_pings_but_never_answers_is_lost() -> None:
    with half_connected(silence_s=0.3, heartbeat_s=0.05) as (connection, far):

        def ping_on() -> None:
            try:
                for number in range(10_000):
                    far.send(encode_ping(FrameKind.PING, number, Status().pack()))
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
                far.send(encode_ping(FrameKind.PING, number, Status().pack()))
                if number < 100:
                    far.send(encode(FrameKind.REQUEST, number, get().pack()))
        except SocketClosed:
            pass
        assert connection.wait(SOON_S) is not None


def _answer_ping(far: MessageSocket) -> None:
    while True:
        frame = decode(far.receive(SOON_S) or b"")
        if frame.kind is FrameKind.PING:
            number = int.from_bytes(frame.payload[:4])
            far.send(encode_ping(FrameKind.PONG, number, Status().pack()))
            return
