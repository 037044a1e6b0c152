"""`/sync` and `/sync/events`, over real sockets."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from orchestrator_http.routes.sync import MAX_BODY_BYTES
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder
from shared_context.errors import DocumentRejected, ExchangeRejected, PeerRefused, PeerUnreachable
from shared_context.exchange import shared_documents
from shared_context.exchange.exchange import PageSize
from shared_context.exchange.replica import Replica
from shared_context.exchange.sync_client import SyncClient
from support.desktop import desk, listening


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Replica]:
    with replica_in(tmp_path / "phone") as replica:
        yield replica


@contextmanager
def replica_in(folder: Path) -> Iterator[Replica]:
    with ConversationStore.open(folder / "memory.db") as store:
        context = ContextFolder(folder / "context", state=folder / "state", author="phone", starters=False)
        yield Replica(store, context, name="phone")
        context.close()


@pytest.fixture
def server(tmp_path):
    with listening(tmp_path / "desktop") as running:
        yield running


def test_a_phone_comes_to_have_what_the_desktop_has_and_the_other_way_round(server, phone):
    desktop = server.services.assistant
    desktop.conversations.create("trip", "The trip")
    for number in range(20):
        desktop.conversations.add_message("trip", "user", f"desktop {number}")
        phone.conversations.add_message("default", "user", f"phone {number}")
    with SyncClient(server.url, phone, page=PageSize(records=7)) as client:
        report = client.exchange()
        assert report.complete and report.received == 22 and report.sent == 20
        assert len(report.documents) == 4
        again = client.exchange()
    assert (again.complete, again.rounds, again.sent, again.received) == (True, 1, 0, 0)
    for conversation in ("trip", "default"):
        assert phone.conversations.messages(conversation) == desktop.conversations.messages(conversation)
    assert phone.state() == server.services.replica.state()


@pytest.mark.parametrize("deletes", ["phone", "desktop"])
def test_a_deleted_conversation_is_deleted_on_the_other_side_too(server, phone, deletes):
    desktop = server.services.assistant.conversations
    with SyncClient(server.url, phone) as client:
        phone.conversations.create("doomed", "Doomed")
        phone.conversations.add_message("doomed", "user", "soon gone")
        assert client.exchange().complete
        (phone.conversations if deletes == "phone" else desktop).delete("doomed")
        assert client.exchange().complete
    for store in (phone.conversations, desktop):
        assert [one.conversation_id for one in store.list(empty=True)] == ["default"]
    assert phone.state() == server.services.replica.state()


def test_an_entry_of_the_phone_reaches_the_desktop_s_log(server, phone, tmp_path):
    with SyncClient(server.url, phone) as client:
        client.exchange()
        context = phone.documents.context
        context.append_entry("written on the phone", entry_id="p1")
        assert client.exchange().complete
    log = server.services.assistant.context.document("SESSION_LOG.md")
    assert log.text.count("written on the phone") == 1 and log.author == "phone"


def test_a_change_is_told_at_once(server, phone):
    found: list[str] = []
    told = threading.Semaphore(0)
    client = SyncClient(server.url, phone)

    def listen() -> None:
        for state in client.notices():
            found.append(state)
            told.release()

    thread = threading.Thread(target=listen)
    thread.start()
    assert told.acquire(timeout=10)
    server.services.assistant.conversations.add_message("default", "user", "new")
    assert told.acquire(timeout=10)
    server.services.assistant.context.append_entry("also new")
    assert told.acquire(timeout=10)
    assert len(set(found)) == len(found)
    server.services.closing.set()
    thread.join(10)
    assert not thread.is_alive()
    client.close()


def test_only_so_many_may_listen_and_their_places_are_given_back(server, phone):
    count = server.settings.server.threads // 4
    streams = [requests.get(f"{server.url}/sync/events", stream=True, timeout=10) for _ in range(count)]
    try:
        for stream in streams:
            assert next(stream.iter_lines()).startswith(b"data: ")
        with SyncClient(server.url, phone) as client, pytest.raises(PeerRefused) as refused:
            next(client.notices())
        assert refused.value.peer_status == 429
        assert requests.get(f"{server.url}/health", timeout=10).ok
    finally:
        server.services.closing.set()
        for stream in streams:
            stream.close()


def test_a_server_with_a_key_wants_it(tmp_path, phone):
    with listening(tmp_path / "locked", api_key="a-long-enough-key") as server:
        with SyncClient(server.url, phone) as client, pytest.raises(PeerRefused) as refused:
            client.exchange()
        assert refused.value.peer_status == 401
        with SyncClient(server.url, phone, key="a-long-enough-key") as client:
            assert client.exchange().complete
            assert "a-long" not in repr(client)


def test_nobody_there_and_somebody_else_there_are_told_apart(server, phone):
    with SyncClient("http://127.0.0.1:9", phone) as client, pytest.raises(PeerUnreachable):
        client.exchange()
    with (
        SyncClient(f"{server.url}/openapi.json?", phone) as client,
        pytest.raises((PeerRefused, ExchangeRejected)),
    ):
        client.exchange()


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": 2},
        {"have": {"../x": 1}},
        {"have": {"a": -1}},
        {"have": {"a": 2**53}},
        {"max_records": 0},
        {"spans": [{"origin": "a", "replica": "b", "number": 0, "after": 5, "upto": 5, "records": []}]},
        {"documents": {"vector": "%%%", "digest": "0" * 64}},
        {"documents": {"vector": "AAAA", "digest": "short"}},
        {"documents": {"vector": "AA==", "digest": "0" * 64}, "update": "Z2FyYmFnZQ=="},
        {"name": "<script>"},
    ],
)
def test_what_is_no_exchange_is_refused_and_changes_nothing(tmp_path, change):
    with desk(tmp_path) as here:
        before = here.services.replica.state()
        request = {"protocol": 1, "replica": "r", "have": {}, **change}
        response = here.client.post("/sync", json=request)
        assert response.status_code == 400, response.get_data(as_text=True)
        assert response.json["error"]["message"]
        assert here.services.replica.state() == before


def test_a_body_may_be_larger_than_elsewhere_but_not_endless(tmp_path):
    with desk(tmp_path, max_body_bytes=4096) as here:
        request = {"protocol": 1, "replica": "r", "have": {}, "ignored": "x" * 10_000}
        assert here.client.post("/sync", json=request).status_code == 200
        request["ignored"] = "x" * MAX_BODY_BYTES
        assert here.client.post("/sync", json=request).status_code == 413


def test_a_hostile_update_is_refused_and_the_server_answers_on(server):
    assert server.services.assistant.context is not None
    peer = {"protocol": 1, "replica": "stranger", "have": {}}
    known = requests.post(f"{server.url}/sync", json=peer, timeout=30).json()
    lists = b"\x01\x01\x01\x00\x08\x01\x0eSESSION_LOG.md\x01" + b"\x75\x01" * 1_000_000 + b"\x77\x01x\x00"
    for update in (lists, b"\xff" * 1000, b"no update"):
        state = {"vector": "AA==", "digest": "0" * 64}
        body = {**peer, "documents": state, "update": base64.b64encode(update).decode()}
        refused = requests.post(f"{server.url}/sync", json=body, timeout=60)
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "document_rejected"
    assert requests.post(f"{server.url}/sync", json=peer, timeout=30).json()["have"] == known["have"]


def test_documents_larger_than_a_message_are_exchanged_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_documents, "PAGE_BYTES", 20_000)
    with listening(tmp_path / "desktop") as server, replica_in(tmp_path / "phone") as phone:
        desktop = server.services.assistant.context
        text = "".join(f"{number} {'x' * 80}\n" for number in range(2000))
        desktop.edit("PROJECT_CONTEXT.md", text)
        with SyncClient(server.url, phone) as client:
            report = client.exchange()
            assert report.complete and report.rounds > 8
            assert phone.documents.context.document("PROJECT_CONTEXT.md").text == text
            phone.documents.context.edit("PROJECT_CONTEXT.md", text.replace("x", "y"))
            assert client.exchange().complete
        assert desktop.document("PROJECT_CONTEXT.md").text == text.replace("x", "y")


def test_documents_a_server_refuses_do_not_keep_messages_back(tmp_path, monkeypatch):
    with listening(tmp_path / "desktop") as server, replica_in(tmp_path / "phone") as phone:
        desktop = server.services.assistant
        for number in range(50):
            phone.conversations.add_message("default", "user", f"phone {number}")
            desktop.conversations.add_message("default", "user", f"desktop {number}")
        with SyncClient(server.url, phone, page=PageSize(records=10)) as client:
            client.exchange()
            phone.documents.context.append_entry("refused")
            phone.conversations.add_message("default", "user", "one more")

            def refuse(update: bytes, author: str) -> tuple[str, ...]:
                raise DocumentRejected("The update is refused.")

            monkeypatch.setattr(server.services.replica.documents.context, "apply_update", refuse)
            report = client.exchange()
            assert not report.complete and "refused" in report.documents_problem
            said = [one.content for one in desktop.conversations.messages("default")]
            assert "one more" in said and len(said) == 101
            monkeypatch.undo()
            assert client.exchange().complete
        assert "refused" in desktop.context.document("SESSION_LOG.md").text


def test_documents_that_cannot_be_taken_in_here_do_not_keep_messages_back(server, phone, monkeypatch):
    desktop = server.services.assistant
    for number in range(30):
        desktop.conversations.add_message("default", "user", f"desktop {number}")

    def refuse(update: bytes, author: str) -> tuple[str, ...]:
        raise DocumentRejected("The update is refused.")

    monkeypatch.setattr(phone.documents.context, "apply_update", refuse)
    with SyncClient(server.url, phone, page=PageSize(records=10)) as client:
        report = client.exchange()
    assert not report.complete and report.documents_problem == "The update is refused."
    assert len(phone.conversations.messages("default")) == 30
