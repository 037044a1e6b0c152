"""Dialling: what comes of servers that refuse, say nothing, or are something else."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from orchestrator_relay import frames, greeting, heads
from orchestrator_relay.dial import dial
from orchestrator_relay.errors import DialFailed, DialRefused, GreetingRefused, SocketClosed
from orchestrator_relay.frames import FrameKind, encode
from orchestrator_relay.heads import Hello
from support.played_vps import CREDENTIAL, PlayedVps
from support.ports import nobody_listens
from support.relay_ends import message_sockets

KEY = {"Authorization": f"Bearer {CREDENTIAL}"}


@contextmanager
def answering_with(said: bytes | None) -> Iterator[str]:
    """A server that reads a request and says this; None: nothing at all, and keeps the socket."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            taken, _ = server.accept()
            with taken, suppress(OSError):
                taken.recv(65536)
                if said is not None:
                    taken.sendall(said)
                    taken.shutdown(socket.SHUT_WR)
                done.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        done.set()
        thread.join(20)


def test_dials_and_greets() -> None:
    with PlayedVps() as vps:
        near = dial(vps.url, headers=KEY)
        assert greeting.introduce(near, Hello(name="d", replica="r")).tier == "vps"
        hello, connection = vps.connections.get(timeout=20)
        assert (hello.name, hello.replica) == ("d", "r")
        near.close()
        assert connection.wait(20) is not None
        near.release()


def test_a_refusal_says_its_status_and_code() -> None:
    with PlayedVps() as vps:
        with pytest.raises(DialRefused, match="answered 401: The API key is wrong") as caught:
            dial(vps.url)
        assert (caught.value.status, caught.value.code) == (401, "unauthorized")
        vps.revoked = True
        with pytest.raises(DialRefused) as caught:
            dial(vps.url, headers=KEY)
        assert caught.value.code == heads.REVOKED
        assert CREDENTIAL not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", DialRefused, "answered 502"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", DialRefused, "answered 200"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n" + b"x" * 100_000, DialRefused, "answered 404"),
        (b'HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n[]', DialRefused, "answered 401"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", DialFailed, "no relay"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", DialFailed, "no relay"),
        (b"", DialFailed, "closed before an answer"),
        (None, DialFailed, "does not answer"),
    ],
)  # fmt: skip
def test_other_servers(said: bytes | None, error: type[Exception], words: str) -> None:
    with answering_with(said) as url, pytest.raises(error, match=words):
        dial(url, timeout_s=0.3 if said is None else 10)


def test_nobody_there() -> None:
    with nobody_listens() as port, pytest.raises(DialFailed, match="nothing listens there"):
        dial(f"http://127.0.0.1:{port}")
    with pytest.raises(DialFailed, match="name is not known"):
        dial("http://no-such-host.invalid")


def test_a_plain_server_where_tls_is_wanted() -> None:
    with answering_with(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url, pytest.raises(DialFailed):
        dial(url.replace("http:", "https:"))


def test_a_greeting_that_is_refused_or_garbage() -> None:
    def refuse(far: object) -> None:
        greeting.receive_hello(far)  # type: ignore[arg-type]
        greeting.refuse(far, heads.DUPLICATE, "You are here already.")  # type: ignore[arg-type]

    cases = {
        heads.DUPLICATE: refuse,
        heads.PROTOCOL_ERROR: lambda far: far.send(encode(FrameKind.CHUNK, 1, b"x")),
        heads.VERSION: lambda far: far.send(encode(FrameKind.WELCOME, 0, b'{"protocol": 9}')),
    }
    for code, act in cases.items():
        near, far = message_sockets()
        other = threading.Thread(target=act, args=(far,))
        other.start()
        with pytest.raises(GreetingRefused) as caught:
            greeting.introduce(near, Hello())
        assert caught.value.code == code
        other.join(20)
        near.release()
        far.release()


def test_a_hello_that_never_comes_or_is_none() -> None:
    for said, code in (
        (None, heads.SILENT),
        (b"junk!", heads.PROTOCOL_ERROR),
        (encode(FrameKind.HELLO, 0, b'{"protocol": 2}'), heads.VERSION),
        (encode(FrameKind.PING, 0, b"\x00\x00\x00\x01{}"), heads.PROTOCOL_ERROR),
    ):
        near, far = message_sockets()
        if said is not None:
            near.send(said)
        with pytest.raises(GreetingRefused) as caught:
            greeting.receive_hello(far, timeout_s=0.1 if said is None else 20)
        assert caught.value.code == code
        near.release()
        far.release()


@pytest.mark.parametrize(
    ("desktop", "vps", "older"), [(frames.PROTOCOL, 9, "desktop"), (9, frames.PROTOCOL, "VPS")]
)
def test_two_versions_that_differ_say_which_side_to_update(desktop: int, vps: int, older: str) -> None:
    """Both owners read the same, whichever side finds out."""
    near, far = message_sockets()
    if desktop == frames.PROTOCOL:
        far.send(encode(FrameKind.WELCOME, 0, b'{"protocol": %d}' % vps))
        with pytest.raises(GreetingRefused) as caught:
            greeting.introduce(near, Hello())
    else:
        near.send(encode(FrameKind.HELLO, 0, b'{"protocol": %d}' % desktop))
        with pytest.raises(GreetingRefused) as caught:
            greeting.receive_hello(far)
        with pytest.raises(GreetingRefused) as told:
            greeting.introduce(near, Hello())
        assert told.value.message == caught.value.message
    assert caught.value.message.endswith(f"and the VPS protocol {vps}: update the {older}.")
    near.release()
    far.release()


def test_a_server_that_leaves_in_the_middle_of_the_greeting() -> None:
    near, far = message_sockets()
    far.close()
    with pytest.raises(SocketClosed):
        greeting.introduce(near, Hello())
    near.release()
    far.release()
