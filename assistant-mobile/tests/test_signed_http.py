"""A paired session against a real server: what it sends is signed and sealed, what it returns was meant for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from ai_orchestrator.server import Server
from mobile_sync import signed_http
from mobile_sync.signed_http import AnswerRejected, Signer, is_readable, session_for
from orchestrator_core.event_stream import events_in
from orchestrator_core.streamed_http import TRANSPORT_FAILURES, pieces
from orchestrator_relay.identity.machine import Identity
from support.cutting_proxy import CuttingProxy
from support.desktop import listening
from support.paired_phone import paired


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with listening(tmp_path_factory.mktemp("desktop")) as running:
        yield running


@pytest.fixture
def signer(server: Server, tmp_path: Path) -> Signer:
    membership = paired(server.services, tmp_path)
    return Signer(Identity.load_or_create(tmp_path), membership.household.id, membership.household)


@pytest.fixture(params=["signed", "sealed"])
def session(
    request: pytest.FixtureRequest, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[requests.Session]:
    monkeypatch.setattr(signed_http, "is_readable", lambda url: request.param == "sealed")
    with session_for(signer) as session:
        yield session


def test_what_is_asked_is_answered(session: requests.Session, server: Server) -> None:
    answer = session.post(f"{server.url}/chat", json={"message": "Grüße 日本"}, timeout=10)
    assert answer.status_code == 200
    assert "Grüße 日本" in answer.json()["response"]
    assert session.get(f"{server.url}/conversations?limit=3", timeout=10).json()["conversations"]


def test_a_stream_comes_as_it_is_said_and_its_end_is_checked(
    session: requests.Session, server: Server
) -> None:
    with session.post(
        f"{server.url}/chat/stream", json={"message": "one two three"}, stream=True, timeout=10
    ) as answer:
        names = [event.name for event in events_in(pieces(answer))]
    assert names[-1] == "signature" and len(names) > 3


def test_a_servers_refusal_comes_through(session: requests.Session, server: Server) -> None:
    answer = session.post(f"{server.url}/chat", json={"message": ""}, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert session.get(f"{server.url}/runs/none", timeout=10).status_code == 404


def test_a_clock_that_is_off_is_mended_by_the_servers(
    session: requests.Session, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = SimpleNamespace(time=lambda: time.time() - 86_400)
    monkeypatch.setattr(signed_http, "time", late)
    for _ in range(2):
        assert session.get(f"{server.url}/conversations", timeout=10).status_code == 200


def test_a_stranger_with_the_servers_address_is_not_believed(signer: Signer, server: Server) -> None:
    stranger = Signer(signer.identity, signer.household, Identity.create().public)
    with session_for(stranger) as session, pytest.raises(AnswerRejected):
        session.get(f"{server.url}/info", timeout=10)


def test_who_is_not_paired_gets_nothing_that_counts(
    session: requests.Session, signer: Signer, server: Server
) -> None:
    unknown = Signer(Identity.create(), signer.household, signer.server)
    with session_for(unknown) as unpaired, pytest.raises(AnswerRejected):
        unpaired.get(f"{server.url}/conversations", timeout=10)


@pytest.mark.parametrize(
    ("url", "readable"),
    [
        ("http://127.0.0.1:5000/a", False),
        ("http://[::1]:5000", False),
        ("http://localhost:5000", False),
        ("http://192.168.1.2:5000", True),
        ("http://desk.local", True),
        ("https://192.168.1.2", False),
    ],
)
def test_plain_http_beyond_this_machine_is_sealed(url: str, readable: bool) -> None:
    assert is_readable(url) is readable


class Rogue(BaseHTTPRequestHandler):
    """Says yes to everything, and keeps what it was told."""

    heard: list[bytes] = []

    def do_POST(self) -> None:
        self.heard.append(self.rfile.read(int(self.headers["Content-Length"])))
        body = b'{"response": "Trust me."}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *args: Any) -> None:
        """Nothing."""


def test_a_rogue_host_learns_nothing_and_is_not_believed(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_http, "is_readable", lambda url: True)
    Rogue.heard.clear()
    rogue = ThreadingHTTPServer(("127.0.0.1", 0), Rogue)
    thread = threading.Thread(target=rogue.serve_forever)
    thread.start()
    try:
        with session_for(signer) as session, pytest.raises(AnswerRejected):
            url = f"http://127.0.0.1:{rogue.server_port}/chat"
            session.post(url, json={"message": "a secret word"}, timeout=10)
    finally:
        rogue.shutdown()
        thread.join()
        rogue.server_close()
    told = b"".join(Rogue.heard)
    assert told and b"secret" not in told and b"message" not in told
    assert signer.identity.id.encode() not in told


def test_a_stream_that_is_cut_off_does_not_end_like_one_that_is_complete(
    signer: Signer, server: Server
) -> None:
    with CuttingProxy(server.port, [3]) as proxy, session_for(signer) as session:
        url = proxy.url.removesuffix("/v1")
        body = {"message": "one two three four five six"}
        with session.post(f"{url}/chat/stream", json=body, stream=True, timeout=10) as answer:
            events = []
            with pytest.raises(TRANSPORT_FAILURES):
                events.extend(events_in(pieces(answer)))
        assert not any('"done"' in event.data for event in events)
