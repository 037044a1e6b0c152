"""Messages over a real socket, with writers, sizes and peers as bad as they come."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from orchestrator_relay.errors import SocketClosed
from orchestrator_relay.frames import MAX_FRAME_BYTES
from orchestrator_relay.message_socket import MessageSocket
from support.relay_ends import message_sockets, tcp_pair, ws_pair
from wsproto.events import BytesMessage, Ping, Pong, TextMessage

SOON_S = 20.0


def test_many_writers_one_reader() -> None:
    near, far = message_sockets()
    with ThreadPoolExecutor(8) as pool:

        def write(number: int) -> None:
            for count in range(50):
                near.send(bytes((number,)) * (1 + count * 300))

        writing = [pool.submit(write, number) for number in range(8)]
        got = [far.receive(SOON_S) or b"" for _ in range(400)]
        for one in writing:
            one.result(SOON_S)
    assert all(len(set(message)) == 1 for message in got)
    assert sorted(map(len, got)) == sorted((1 + count * 300) for count in range(50) for _ in range(8))
    near.release()
    far.release()


def test_nothing_comes_in_time() -> None:
    near, far = message_sockets()
    assert near.receive(0.01) is None
    far.send(b"x")
    assert near.receive(SOON_S) == b"x"
    near.release()
    far.release()


def test_a_message_in_pieces_is_put_together() -> None:
    dialled, listening = tcp_pair()
    client, server = ws_pair(dialled, listening)
    far = MessageSocket(listening, server)
    dialled.sendall(client.send(BytesMessage(data=b"one ", message_finished=False)))
    dialled.sendall(client.send(BytesMessage(data=b"message")))
    assert far.receive(SOON_S) == b"one message"
    far.release()
    dialled.close()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (BytesMessage(data=bytes(MAX_FRAME_BYTES + 1)), "more than"),
        (TextMessage(data="hello"), "text message"),
    ],
)
def test_what_may_not_come_closes_the_connection(event: object, words: str) -> None:
    dialled, listening = tcp_pair()
    client, server = ws_pair(dialled, listening)
    far = MessageSocket(listening, server)
    dialled.sendall(client.send(event))  # type: ignore[arg-type]
    with pytest.raises(SocketClosed, match=words):
        far.receive(SOON_S)
    far.release()
    dialled.close()


def test_bytes_that_are_no_websocket() -> None:
    dialled, listening = tcp_pair()
    _, server = ws_pair(dialled, listening)
    far = MessageSocket(listening, server)
    dialled.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
    with pytest.raises(SocketClosed):
        while True:
            far.receive(SOON_S)
    far.release()
    dialled.close()


def test_websocket_pings_are_answered_with_the_next_message() -> None:
    dialled, listening = tcp_pair()
    client, server = ws_pair(dialled, listening)
    far = MessageSocket(listening, server)
    dialled.sendall(client.send(Ping(payload=b"there?")) + client.send(BytesMessage(data=b"x")))
    assert far.receive(SOON_S) == b"x"
    far.send(b"y")
    events: list[object] = []
    while len(events) < 2:
        client.receive_data(dialled.recv(65536))
        events.extend(client.events())
    assert isinstance(events[0], Pong) and events[0].payload == b"there?"
    far.release()
    dialled.close()


def test_a_side_that_takes_nothing_is_given_up() -> None:
    near, far = message_sockets(stall_s=0.1)
    with pytest.raises(SocketClosed, match="no more data"):
        for _ in range(10_000):
            near.send(bytes(60_000))
    near.release()
    far.release()


def test_closing_wakes_the_reader_and_the_writer() -> None:
    near, far = message_sockets()
    ended: list[str] = []

    def write() -> None:
        try:
            while True:
                near.send(bytes(60_000))
        except SocketClosed as error:
            ended.append(error.message)

    def read() -> None:
        try:
            near.receive()
        except SocketClosed as error:
            ended.append(error.message)

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    near.close()
    for thread in threads:
        thread.join(SOON_S)
    assert len(ended) == 2
    near.release()
    near.close()
    with pytest.raises(SocketClosed):
        near.send(b"x")
    far.release()


def test_the_other_side_hears_of_a_close() -> None:
    near, far = message_sockets()
    far.send(b"last words")
    far.close()
    assert near.receive(SOON_S) == b"last words"
    with pytest.raises(SocketClosed, match="other side closed"):
        near.receive(SOON_S)
    near.release()
    far.release()
