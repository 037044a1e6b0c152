"""Any WSGI app answers a relayed request as it would answer one of its own."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, request, send_file
from orchestrator_relay.heads import RequestHead
from orchestrator_relay.wsgi_call import RELAYED, WsgiCall
from support.relay_ends import connected, get
from support.waiting import wait_until


def _seen(headers: list[tuple[str, str]], target: str = "/a%20b?x=%31", **changed: Any) -> dict[str, Any]:
    """The environ that an app gets."""
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.update(environ, gone=environ["waitress.client_disconnected"]())
        start_response("204 No Content", [])
        return []

    head = RequestHead(**{"method": "GET", "target": target, "headers": tuple(headers), **changed})
    with connected(WsgiCall(app)) as (vps, _):
        answer = vps.open(head)
        assert (answer.status, list(answer.chunks())) == (204, [])
    return seen


def test_the_app_sees_a_request_to_loopback() -> None:
    seen = _seen([("Range", "bytes=0-4"), ("X-Thing", "1"), ("X-Thing", "2"), ("Host", "evil.example")])
    assert (seen["PATH_INFO"], seen["QUERY_STRING"], seen["HTTP_HOST"]) == ("/a b", "x=%31", "localhost")
    assert (seen["HTTP_RANGE"], seen["HTTP_X_THING"]) == ("bytes=0-4", "1, 2")
    assert seen[RELAYED] is True
    assert seen["gone"] is False


def test_no_header_can_pretend_to_be_something_else() -> None:
    seen = _seen(
        [
            ("orchestrator.relayed", "x"),
            ("X_Thing", "smuggled"),
            ("Content-Length", "99"),
            ("Transfer-Encoding", "chunked"),
            ("Authorization", "Bearer of-the-client"),
            ("Cookie", "a=b"),
            ("Origin", "https://vps.example"),
        ]
    )
    assert "of-the-client" not in repr(seen)
    assert seen["CONTENT_LENGTH"] == "0"
    missing = {"HTTP_X_THING", "HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_ORIGIN", "HTTP_TRANSFER_ENCODING"}
    assert not missing & seen.keys()


def test_the_address_of_the_client_is_known_for_the_log() -> None:
    assert _seen([], address="203.0.113.9")["REMOTE_ADDR"] == "203.0.113.9"
    assert _seen([])["REMOTE_ADDR"] == "127.0.0.1"


class _Body:
    """Parts that note whether they were closed."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        self.closed += 1


def test_what_the_app_gives_is_closed_once_whatever_happens() -> None:
    bodies: list[_Body] = []

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        bodies.append(_Body(broken() if path == "/broken" else [b"x"] * 3))
        if path != "/headless":
            start_response("200 OK", [("X", "\n")] if path == "/bad-head" else [])
        return bodies[-1]

    with connected(WsgiCall(app)) as (vps, desktop):
        assert b"".join(vps.open(get("/whole")).chunks()) == b"xxx"
        for path in ("/broken", "/headless", "/bad-head"):
            with pytest.raises(Exception, match="failed in the middle"):
                list(vps.open(get(path)).chunks())
        vps.open(get("/left")).close()
        wait_until(lambda: not desktop.streams)
    assert [one.closed for one in bodies] == [1] * 5


def test_an_app_that_is_a_generator_and_one_that_writes() -> None:
    def generator(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("X-A", "b")])
        yield b"one"
        yield b"two"

    def writer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])(b"written ")
        return [b"returned"]

    for app, expected in ((generator, b"onetwo"), (writer, b"written returned")):
        with connected(WsgiCall(app)) as (vps, _):
            assert b"".join(vps.open(get()).chunks()) == expected


def test_flask_reads_bodies_and_answers_ranges(tmp_path: Any) -> None:
    app = Flask("test")
    file = tmp_path / "file.bin"
    file.write_bytes(bytes(range(256)) * 4000)

    @app.post("/echo")
    def echo() -> Response:
        return Response(request.get_data(), content_type=request.content_type)

    @app.get("/file")
    def download() -> Response:
        return send_file(file, conditional=True)

    with connected(WsgiCall(app)) as (vps, _):
        body = b'{"a": 1}' * 100_000
        posted = RequestHead(method="POST", target="/echo", headers=(("Content-Type", "text/x"),))
        answer = vps.open(posted, body)
        assert b"".join(answer.chunks()) == body
        assert answer.headers["content-type"] == "text/x"
        ranged = vps.open(
            RequestHead(method="GET", target="/file", headers=(("Range", "bytes=1000-500999"),))
        )
        assert (ranged.status, ranged.headers["content-range"]) == (206, "bytes 1000-500999/1024000")
        assert b"".join(ranged.chunks()) == file.read_bytes()[1000:501000]
        assert vps.open(get("/nothing")).status == 404
        head = vps.open(RequestHead(method="HEAD", target="/file"))
        assert (b"".join(head.chunks()), head.headers["content-length"]) == (b"", "1024000")
