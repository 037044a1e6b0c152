from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from orchestrator_core.engine.channel import (
    MAX_FRAME,
    Channel,
    ChannelClosed,
)


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    left, right = socket.socketpair()
    channels = Channel(left), Channel(right)
    yield channels
    for channel in channels:
        channel.close()


def test_messages_arrive_whole_and_in_order(pair: tuple[Channel, Channel]) -> None:
    here, there = pair
    messages = [{"op": "a", "text": "日本語 😀\n"}, {"op": "b", "text": "x" * 300_000}, {"op": "c"}]
    sender = threading.Thread(target=lambda: [here.send(message) for message in messages])
    sender.start()
    assert [there.receive() for _ in messages] == messages
    sender.join()


def test_several_threads_may_send_at_once(pair: tuple[Channel, Channel]) -> None:
    here, there = pair
    threads = [
        threading.Thread(target=lambda n=n: [here.send({"n": n, "pad": "y" * 5000}) for _ in range(50)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    received = [there.receive()["n"] for _ in range(200)]
    assert sorted(received) == sorted([0, 1, 2, 3] * 50)


def test_closing_either_end_wakes_a_blocked_receive(pair: tuple[Channel, Channel]) -> None:
    here, there = pair
    raised = []

    def wait() -> None:
        try:
            there.receive()
        except ChannelClosed as error:
            raised.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    here.close()
    waiter.join(10)
    assert raised
    with pytest.raises(ChannelClosed):
        there.send({"op": "late"})


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!I", 4) + b"[1]\n",
        struct.pack("!I", 3) + b"{{{",
        struct.pack("!I", 2) + b"\xff\xff",
        struct.pack("!I", MAX_FRAME + 1),
        struct.pack("!I", 10) + b"short",
        b"\x00",
    ],
)
def test_what_is_no_frame_closes_the_channel(data: bytes) -> None:
    left, right = socket.socketpair()
    channel = Channel(right)
    left.sendall(data)
    left.shutdown(socket.SHUT_WR)
    with pytest.raises(ChannelClosed):
        channel.receive()
    left.close()
    channel.close()


def test_text_that_is_not_unicode_is_refused_before_it_is_sent(pair: tuple[Channel, Channel]) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        pair[0].send({"text": "\ud800"})
