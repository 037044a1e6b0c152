"""Conversations of other programs: what is read of them, and that importing twice changes nothing."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_context.conversations.foreign.conversation import ForeignConversation, text_of
from shared_context.conversations.foreign.formats import conversations_in, files_in
from shared_context.conversations.store import ConversationStore
from shared_context.conversations.transfer import import_conversation
from shared_context.errors import InvalidImport


def node(role: str, text: str, parent: str | None, at: float, **content: Any) -> dict[str, Any]:
    message = {
        "id": f"m-{text}",
        "author": {"role": role},
        "create_time": at,
        "content": {"content_type": "text", "parts": [text], **content},
    }
    return {"message": message, "parent": parent, "children": []}


CHATGPT = [
    {
        "title": "Bread",
        "conversation_id": "c-1",
        "current_node": "d",
        "mapping": {
            "root": {"message": None, "parent": None, "children": ["a"]},
            "a": node("user", "How long does it bake?", "root", 1_700_000_000.5),
            "b": node("assistant", "An hour.", "a", 1_700_000_001),
            "c": node("assistant", "Forty minutes.", "a", 1_700_000_002),
            "d": node("assistant", "import os", "c", 1_700_000_003, content_type="code"),
        },
    }
]
CLAUDE = [
    {
        "uuid": "u-1",
        "name": "Garden",
        "chat_messages": [
            {
                "uuid": "1",
                "sender": "human",
                "text": "Which hedge?",
                "created_at": "2025-05-01T10:00:00.000000Z",
            },
            {
                "uuid": "2",
                "sender": "assistant",
                "text": "",
                "content": [{"type": "text", "text": "Beech."}, {"type": "tool_use", "name": "x"}],
                "created_at": "2025-05-01T10:00:05Z",
                "attachments": [{}],
            },
        ],
    }
]
OPEN_WEBUI = [
    {
        "id": "o-1",
        "title": "Boats",
        "chat": {
            "history": {
                "currentId": "y",
                "messages": {
                    "x": {"id": "x", "role": "user", "content": "Oars?", "timestamp": 1_700_000_000},
                    "y": {
                        "id": "y",
                        "parentId": "x",
                        "role": "assistant",
                        "content": "Ash.",
                        "timestamp": 1_700_000_009,
                    },
                    "z": {
                        "id": "z",
                        "parentId": "x",
                        "role": "assistant",
                        "content": "Pine.",
                        "timestamp": 1,
                    },
                },
            }
        },
    }
]
CLAUDE_CODE = [
    {"type": "summary", "summary": "Fix the parser", "sessionId": "s"},
    {
        "type": "user",
        "uuid": "1",
        "sessionId": "s",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "message": {"role": "user", "content": "Mend it."},
    },
    {
        "type": "assistant",
        "uuid": "2",
        "sessionId": "s",
        "message": {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Done."}],
        },
    },
    {
        "type": "user",
        "uuid": "3",
        "sessionId": "s",
        "message": {"role": "user", "content": [{"type": "tool_result", "content": "ok"}]},
    },
    {
        "type": "user",
        "uuid": "4",
        "sessionId": "s",
        "isSidechain": True,
        "message": {"role": "user", "content": "sub"},
    },
]
CODEX = [
    {"timestamp": "2026-01-02T03:04:05Z", "type": "session_meta", "payload": {"id": "c"}},
    {
        "timestamp": "2026-01-02T03:04:05Z",
        "type": "response_item",
        "payload": {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "<environment_context>x"}],
        },
    },
    {
        "timestamp": "2026-01-02T03:04:06Z",
        "type": "response_item",
        "payload": {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Add a test."}],
        },
    },
    {
        "timestamp": "2026-01-02T03:04:07Z",
        "type": "response_item",
        "payload": {"type": "function_call", "name": "shell"},
    },
    {
        "timestamp": "2026-01-02T03:04:09Z",
        "type": "response_item",
        "payload": {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Added."}],
        },
    },
]
OPENCLAW = [
    {"type": "session", "id": "s1", "timestamp": "2026-01-02T03:04:05Z"},
    {"type": "message", "id": "a", "timestamp": "2026-01-02T03:04:06Z", "message": {"role": "user", "content": [{"type": "text", "text": "Weather?"}]}},
    {"type": "message", "id": "b", "timestamp": "2026-01-02T03:04:07Z", "message": {"role": "assistant", "content": [{"type": "text", "text": "Rain."}]}},
    {"type": "message", "id": "c", "message": {"role": "toolResult", "content": "x"}},
]  # fmt: skip


def written(folder: Path, name: str, data: Any) -> Path:
    path = folder / name
    lines = name.endswith(".jsonl")
    path.write_text("\n".join(json.dumps(item) for item in data) if lines else json.dumps(data))
    return path


def llm_database(folder: Path) -> Path:
    path = folder / "logs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE conversations (id TEXT, name TEXT, model TEXT)")
        connection.execute(
            "CREATE TABLE responses (id TEXT, model TEXT, prompt TEXT, response TEXT, conversation_id TEXT, datetime_utc TEXT)"
        )
        connection.execute("INSERT INTO conversations VALUES ('k', 'Names', 'm')")
        connection.execute(
            "INSERT INTO responses VALUES ('1', 'm', 'A name?', 'Ada.', 'k', '2025-01-01T00:00:00')"
        )
        connection.execute(
            "INSERT INTO responses VALUES ('2', 'm', 'Another?', 'Bo.', 'k', '2025-01-01T00:01:00')"
        )
        connection.commit()
    return path


def read(path: Path) -> ForeignConversation:
    (conversation,) = conversations_in(path)
    return conversation


@pytest.mark.parametrize(
    ("name", "data", "source", "title", "said"),
    [
        ("conversations.json", CHATGPT, "chatgpt", "Bread", ["How long does it bake?", "Forty minutes."]),
        ("conversations.json", CLAUDE, "claude", "Garden", ["Which hedge?", "Beech."]),
        ("chats.json", OPEN_WEBUI, "open-webui", "Boats", ["Oars?", "Ash."]),
        ("s.jsonl", CLAUDE_CODE, "claude-code", "Fix the parser", ["Mend it.", "Done."]),
        ("rollout-1.jsonl", CODEX, "codex", None, ["Add a test.", "Added."]),
        ("s1.jsonl", OPENCLAW, "openclaw", None, ["Weather?", "Rain."]),
    ],
)
def test_what_was_said_is_read_in_order_and_the_rest_is_counted(
    tmp_path: Path, name: str, data: Any, source: str, title: str | None, said: list[str]
) -> None:
    conversation = read(written(tmp_path, name, data))
    assert (conversation.source, conversation.title) == (source, title)
    assert [message.content for message in conversation.messages] == said
    assert [message.role for message in conversation.messages] == ["user", "assistant"]
    assert conversation.messages[0].created_at is not None
    assert conversation.skipped or source == "open-webui"


def test_the_logs_of_llm_are_read_by_conversation(tmp_path: Path) -> None:
    conversation = read(llm_database(tmp_path))
    assert conversation.title == "Names"
    assert [message.content for message in conversation.messages] == ["A name?", "Ada.", "Another?", "Bo."]


def test_an_archive_is_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/conversations.json", json.dumps(CHATGPT))
    assert read(path).title == "Bread"


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    paths = [
        written(tmp_path, "a.json", CHATGPT),
        written(tmp_path, "b.jsonl", OPENCLAW),
        llm_database(tmp_path),
    ]
    with ConversationStore.open(tmp_path / "memory.db") as store:
        for _ in range(2):
            for path in paths:
                for conversation in conversations_in(path):
                    import_conversation(store, conversation.as_import())
        assert len(store.list()) == 3
        messages = store.messages("chatgpt:c-1")
        assert [message.content for message in messages] == ["How long does it bake?", "Forty minutes."]
        assert messages[0].created_at.startswith("2023-11-14T22:13:20")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"a": 1}',
        b"PK\x03\x04broken",
        b"SQLite format 3\x00broken",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_anything_else_is_refused_with_what_can_be_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(InvalidImport):
        list(conversations_in(path))


def test_a_session_cut_off_in_a_line_is_read_up_to_there(tmp_path: Path) -> None:
    path = written(tmp_path, "s1.jsonl", OPENCLAW)
    path.write_text(path.read_text() + '\n{"type": "message", "mess')
    assert len(read(path).messages) == 2


def test_the_files_of_a_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    written(tmp_path / "deep", "s.jsonl", OPENCLAW)
    (tmp_path / "picture.png").write_bytes(b"")
    assert [path.name for path in files_in(tmp_path)] == ["s.jsonl"]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["mapping", "message", "parts", "chat", "history", "text", "role", "id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON, JSON, JSON)
def test_any_message_is_taken_or_counted(role: Any, content: Any, name: Any, at: Any) -> None:
    text_of(content)
    conversation = ForeignConversation("x", "y", "title")
    conversation.add(role, content, name, at)
    assert len(conversation.messages) + sum(conversation.skipped.values()) >= 1
    conversation.as_import()
