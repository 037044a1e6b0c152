from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from orchestrator_vps.remembered import remember
from shared_context.conversations.store import ConversationStore
from shared_context.errors import ConversationNotFound


@pytest.fixture
def conversations(tmp_path: Path) -> Iterator[ConversationStore]:
    with ConversationStore.open(tmp_path / "memory.db") as store:
        yield store


def test_a_conversation_begun_at_the_desktop_is_known_here_at_once(conversations: ConversationStore) -> None:
    body = json.dumps({"conversation_id": "trip", "title": "Our trip"}).encode()
    remember("POST", "/conversations", 201, body, conversations)
    assert conversations.get("trip").title == "Our trip"


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("POST", "/conversations", 400, b'{"conversation_id": "trip"}'),
        ("GET", "/conversations", 200, b'{"conversation_id": "trip"}'),
        ("POST", "/conversations", 201, b"not JSON"),
        ("POST", "/conversations", 201, b"[]"),
        ("POST", "/conversations", 201, b'{"conversation_id": "a\\nb"}'),
    ],
)
def test_anything_else_changes_nothing_and_breaks_nothing(
    conversations: ConversationStore, method: str, path: str, status: int, body: bytes
) -> None:
    remember(method, path, status, body, conversations)
    assert [kept.conversation_id for kept in conversations.list(empty=True)] == ["default"]
    with pytest.raises(ConversationNotFound):
        conversations.get("trip")
