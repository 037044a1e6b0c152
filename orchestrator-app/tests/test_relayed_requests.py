"""The desktop's app, asked over the relay."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from orchestrator_http.services import services
from orchestrator_relay.connection import RelayConnection
from orchestrator_relay.heads import RequestHead
from orchestrator_relay.wsgi_call import RELAYED, WsgiCall
from support.desktop import Desk, desk, events
from support.fleet import wait_until
from support.relay_ends import connected, get

KEY = "a-key-that-is-long-enough"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path, api_key=KEY) as one:
        yield one


@pytest.fixture
def vps(locked: Desk) -> Iterator[RelayConnection]:
    with connected(WsgiCall(locked.app)) as (asking, _):
        yield asking


def _post(path: str, body: object, *headers: tuple[str, str]) -> tuple[RequestHead, bytes]:
    head = RequestHead(method="POST", target=path, headers=(("Content-Type", "application/json"), *headers))
    return head, json.dumps(body).encode()


def test_needs_no_key_of_the_desktop(locked: Desk, vps: RelayConnection) -> None:
    assert locked.client.get("/conversation").status_code == 401
    answer = vps.open(get("/conversation"))
    assert answer.status == 200
    assert json.loads(b"".join(answer.chunks()))["history"] == []


@pytest.mark.parametrize("name", ["orchestrator.relayed", "Orchestrator-Relayed", "orchestrator_relayed"])
def test_cannot_be_claimed_over_http(locked: Desk, name: str) -> None:
    assert locked.client.get("/conversation", headers={name: "True"}).status_code == 401


def test_a_page_of_the_vps_may_ask(vps: RelayConnection) -> None:
    asked = vps.open(*_post("/chat", {"message": "hello"}, ("Origin", "https://vps.example")))
    assert asked.status == 200
    assert json.loads(b"".join(asked.chunks()))["response"]


def test_streams_token_by_token(vps: RelayConnection) -> None:
    answer = vps.open(*_post("/chat/stream", {"message": "one two three"}))
    assert answer.headers["content-type"].startswith("text/event-stream")
    seen = events(b"".join(answer.chunks()).decode())
    assert seen[-1]["data"]["done"] is True
    assert len(seen) > 2


@pytest.mark.parametrize(
    ("path", "body", "kind", "end"),
    [
        ("/api/chat", {}, "application/x-ndjson", '"done": true'),
        ("/v1/messages", {"max_tokens": 50, "stream": True}, "text/event-stream", "message_stop"),
        ("/v1/chat/completions", {"stream": True}, "text/event-stream", "[DONE]"),
    ],
)
def test_streams_of_other_contracts_pass(
    vps: RelayConnection, path: str, body: dict[str, object], kind: str, end: str
) -> None:
    messages = [{"role": "user", "content": "one two three"}]
    answer = vps.open(*_post(path, {"model": "m", "messages": messages, **body}))
    assert answer.headers["content-type"].startswith(kind)
    lines = b"".join(answer.chunks()).decode().splitlines()
    assert end in "".join(lines[-2:])
    assert len(lines) > 3


def test_errors_keep_their_status_and_shape(vps: RelayConnection) -> None:
    for path, body, status in (("/chat", {}, 400), ("/v1/chat/completions", {}, 400), ("/none", {}, 404)):
        answer = vps.open(*_post(path, body))
        assert answer.status == status
        assert "error" in json.loads(b"".join(answer.chunks()))


def test_takes_no_place_of_the_desktops_own_clients(locked: Desk, vps: RelayConnection) -> None:
    own = [locked.services.slots.take() for _ in range(12)]
    assert len(own) == 12
    refused = locked.client.post("/chat", json={"message": "x"}, headers={"Authorization": f"Bearer {KEY}"})
    assert refused.status_code == 429
    assert vps.open(*_post("/chat", {"message": "hello"})).status == 200


def test_shares_all_but_places_with_direct_requests(locked: Desk) -> None:
    """Two confirmations of one handoff, sent on both ways, have to wait for each other."""
    with locked.app.test_request_context():
        direct = services()
        own = direct.places
        assert direct.handoffs is locked.services.handoffs
    with locked.app.test_request_context(environ_overrides={RELAYED: True}):
        assert services().handoffs is direct.handoffs
        assert services().places is not own


def test_gives_its_places_back(locked: Desk, vps: RelayConnection) -> None:
    for _ in range(3):
        answer = vps.open(*_post("/chat/stream", {"message": "one two three"}))
        assert b"".join(answer.chunks())
    # The client has the last byte a moment before its place is free.
    wait_until(lambda: locked.services.relayed.taken == 0, "the places should be given back")
    assert locked.services.slots.taken == 0
