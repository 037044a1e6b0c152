"""A streamed answer over real sockets: piece by piece, left at any moment, and slowed down by its reader."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import requests
from orchestrator_core.streamed_http import (
    MAX_PIECES,
    READ_BYTES,
    TRANSPORT_FAILURES,
    StreamedRequest,
    is_answered,
    was_never_sent,
)
from support.ports import free_port

WAIT = 10
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def server_that(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(65_536)
            with suppress(OSError):
                talk(peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        thread.join(WAIT)
        listener.close()


def asked(url: str) -> StreamedRequest:
    return StreamedRequest(lambda: requests.get(url, stream=True, timeout=WAIT), name="test-stream")


def test_pieces_come_as_they_are_sent() -> None:
    more = threading.Event()

    def talk(peer: socket.socket) -> None:
        peer.sendall(CHUNKED + b"5\r\nfirst\r\n")
        more.wait(WAIT)
        peer.sendall(b"6\r\nsecond\r\n0\r\n\r\n")

    with server_that(talk) as url:
        request = asked(url)
        response = request.head()
        assert response is not None and response.status_code == 200
        chunks = request.chunks()
        assert next(chunks) == b"first"
        more.set()
        assert list(chunks) == [b"second"]


def test_a_body_of_known_length_comes_as_it_is_sent_too() -> None:
    more = threading.Event()

    def talk(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirst")
        more.wait(WAIT)
        peer.sendall(b"second")

    with server_that(talk) as url:
        chunks = asked(url).chunks()
        assert next(chunks) == b"first"
        more.set()
        assert list(chunks) == [b"second"]


def test_a_compressed_body_is_unpacked() -> None:
    text = b"a line of an answer\n" * 20_000
    packed = gzip.compress(text)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with server_that(lambda peer: peer.sendall(head + packed)) as url:
        assert b"".join(asked(url).chunks()) == text


@pytest.mark.parametrize(
    "body",
    [
        CHUNKED + b"5\r\nfirst\r\n5\r\nsec",
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirst",
        b"",
    ],
)
def test_an_answer_that_breaks_off_is_an_error_behind_what_came(body: bytes) -> None:
    with server_that(lambda peer: peer.sendall(body)) as url:
        request = asked(url)
        with pytest.raises(TRANSPORT_FAILURES):
            list(request.chunks())


def test_a_head_is_not_waited_for_longer_than_wanted() -> None:
    over = threading.Event()
    with server_that(lambda peer: over.wait(WAIT) and None) as url:  # type: ignore[func-returns-value]
        request = asked(url)
        assert request.head(0.05) is None
        request.close()
        assert request.head() is None
        assert list(request.chunks()) == []
        over.set()


def test_closing_releases_who_waits_and_hangs_up() -> None:
    left = threading.Event()

    def talk(peer: socket.socket) -> None:
        peer.sendall(CHUNKED + b"5\r\nfirst\r\n")
        while peer.recv(1):
            pass
        left.set()

    with server_that(talk) as url:
        request = asked(url)
        chunks = request.chunks()
        assert next(chunks) == b"first"
        reader = threading.Thread(target=list, args=(chunks,))
        reader.start()
        request.close()
        request.close()
        reader.join(WAIT)
        assert not reader.is_alive()
        assert left.wait(WAIT)


def test_a_server_waits_for_a_slow_reader() -> None:
    pieces = 4 * MAX_PIECES
    sent = 0

    def talk(peer: socket.socket) -> None:
        nonlocal sent
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        peer.settimeout(0.5)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (pieces * READ_BYTES))
        for _ in range(pieces):
            peer.sendall(b"x" * READ_BYTES)
            sent += 1

    with server_that(talk) as url:
        request = asked(url)
        assert request.head() is not None
    assert sent < pieces
    request.close()


def test_a_refused_connection_sent_nothing_and_one_that_is_cut_may_have() -> None:
    with pytest.raises(TRANSPORT_FAILURES) as refused:
        asked(f"http://127.0.0.1:{free_port()}").head()
    assert was_never_sent(refused.value)
    with server_that(lambda peer: None) as url, pytest.raises(TRANSPORT_FAILURES) as cut:
        asked(url).head()
    assert not was_never_sent(cut.value)


@pytest.mark.parametrize(
    ("answer", "present"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", False),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", False),
        (b"no HTTP at all", False),
    ],
)
def test_a_server_of_ours_is_told_from_another(answer: bytes, present: bool) -> None:
    with server_that(lambda peer: peer.sendall(answer)) as url, requests.Session() as session:
        assert is_answered(session, url, WAIT) is present
