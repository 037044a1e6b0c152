"""The link to a server that loses connections, is slow to load, or is no server of ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ai_orchestrator import server_file
from ai_orchestrator.cli.link import server as server_module
from ai_orchestrator.cli.link.server import ServerLink, running_server
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import BackendUnreachable, Overloaded
from orchestrator_core.settings import load_settings

REQUEST = ChatRequest(message="hi", conversation_id="c")
Answering = Callable[[str, str], tuple[int, dict[str, str], bytes]]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "RECONNECT_WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(server_module, "LOADING_POLL_S", 0.0)


@contextmanager
def answering(answer: Answering) -> Iterator[tuple[str, list[tuple[str, str, dict[str, str]]]]]:
    """A server that answers every request with `answer(method, path)` and then hangs up."""
    seen: list[tuple[str, str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append((self.command, self.path, dict(self.headers)))
            status, headers, body = answer(self.command, self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = reply

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def events(*data: dict[str, Any], first: int = 1, name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return "".join(
        f"id: {offset}\n{head}data: {json.dumps(one)}\n\n" for offset, one in enumerate(data, first)
    ).encode()


def test_a_lost_connection_is_taken_up_at_its_offset() -> None:
    def answer(method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        if path == "/chat/stream":
            half = events({"token": "a"}, {"token": "b"}) + b'id: 3\ndata: {"tok'
            return 200, {"X-Run-Id": "r/1"}, half
        assert path == "/runs/r%2F1/stream?from=2"
        rest = events({"token": "c"}, {"done": True, "response": "abc"}, first=3)
        return 200, {}, rest

    with answering(answer) as (url, seen), ServerLink(url) as link:
        got = [event.text for event in link.ask(REQUEST)]
    assert got == ["a", "b", "c", ""]
    assert len(seen) == 2


def test_pings_and_seams_pass_and_errors_are_raised() -> None:
    body = (
        b": ping\n\n" + events({"tier": "desktop"}, name="seam")
        + events({"error": {"code": "overloaded", "message": "Full.", "hint": None}}, first=2, name="error")
    )  # fmt: skip
    with answering(lambda method, path: (200, {"X-Run-Id": "r"}, body)) as (url, _), ServerLink(url) as link:
        stream = iter(link.ask(REQUEST))
        assert next(stream).kind == "seam"
        with pytest.raises(Overloaded, match="Full"):
            next(stream)


def test_a_server_that_stays_away_is_told() -> None:
    def answer(method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        return (200, {"X-Run-Id": "r"}, events({"token": "a"})) if path == "/chat/stream" else (200, {}, b"")

    with answering(answer) as (url, seen), ServerLink(url) as link:
        stream = iter(link.ask(REQUEST))
        assert next(stream).text == "a"
        with pytest.raises(BackendUnreachable, match="in the middle of the answer"):
            list(stream)
    assert len(seen) == 1 + len(server_module.RECONNECT_WAITS_S)


def test_a_cancelled_answer_goes_on_to_its_end() -> None:
    def answer(method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        if path == "/chat/stream":
            return 200, {"X-Run-Id": "r"}, events({"token": "a"}, {"token": "b"})
        if method == "DELETE":
            return 200, {}, b"{}"
        done = {"done": True, "response": "ab", "finish_reason": "cancelled"}
        return 200, {}, events(done, first=3)

    with answering(answer) as (url, seen), ServerLink(url) as link:
        asked = link.ask(REQUEST)
        assert next(iter(asked)).text == "a"
        asked.cancel()
        (last,) = list(asked)
    assert last.data["finish_reason"] == "cancelled"
    assert [(method, path) for method, path, _ in seen[1:]] == [
        ("DELETE", "/runs/r"), ("GET", "/runs/r/stream?from=1"),
    ]  # fmt: skip


def test_a_model_that_is_being_loaded_is_waited_for() -> None:
    loading = json.dumps({"error": {"code": "loading", "message": "Loading."}}).encode()
    answers = iter([(503, {}, loading), (503, {}, loading), (200, {}, b'{"model": "m"}')])
    with answering(lambda method, path: next(answers)) as (url, seen), ServerLink(url) as link:
        assert link.model() == "m"
    assert len(seen) == 3


def test_the_key_goes_to_no_stranger_and_through_no_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    settings = load_settings(environ={"ORCHESTRATOR_DATA": str(tmp_path), "ORCHESTRATOR_API_KEY": "secret"})
    with answering(lambda method, path: (200, {}, b'{"status": "ok"}')) as (url, seen):
        server_file.announce(tmp_path, url)
        link = running_server(settings)
        assert link is not None
        link.call("GET", "/conversations")
        link.close()
        assert seen[-1][2]["Authorization"] == "Bearer secret"
        server_file.announce(tmp_path, url.replace("127.0.0.1", "127.0.0.1.nip.invalid"))
        assert running_server(settings) is None


def test_the_servers_own_key_goes_to_loopback_only(tmp_path: Path) -> None:
    settings = load_settings(
        environ={"ORCHESTRATOR_DATA": str(tmp_path), "ORCHESTRATOR_HOST": "localhost.invalid"}
    )
    with answering(lambda method, path: (200, {}, b'{"status": "ok"}')) as (url, seen):
        server_file.announce(tmp_path, url, "own")
        link = running_server(settings)
        assert link is not None
        link.close()
        assert seen[-1][2]["Authorization"] == "Bearer own"
    server_file.announce(tmp_path, "http://localhost.invalid:5000", "own")
    address = server_file.read(tmp_path)
    assert address is not None and address.trusted("localhost.invalid") and not address.is_local
    assert "own" not in repr(address)


@pytest.mark.parametrize("answer", [(404, {}, b"{}"), (200, {}, b"<html>"), (200, {}, b"[1]")])
def test_something_else_on_the_port_is_not_our_server(
    tmp_path: Path, answer: tuple[int, dict[str, str], bytes]
) -> None:
    settings = load_settings(environ={"ORCHESTRATOR_DATA": str(tmp_path)})
    with answering(lambda method, path: answer) as (url, _):
        server_file.announce(tmp_path, url)
        assert running_server(settings) is None


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    elsewhere = {"Location": "http://127.0.0.1:9/"}
    with answering(lambda method, path: (302, elsewhere, b"")) as (url, seen), ServerLink(url, "k") as link:
        assert not link.answers()
    assert len(seen) == 1
