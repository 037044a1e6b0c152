"""Open WebUI: chats exported as JSON, or its database `webui.db`.

A chat's `history` is a tree of messages; `currentId` is the end of the branch that was shown last. Older chats
have a plain list of `messages` as well.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared_context.conversations.foreign.conversation import ForeignConversation, dicts, json_of, read_only
from shared_context.errors import InvalidImport

NAME = "open-webui"


def recognises(data: Any) -> bool:
    items = data if isinstance(data, list) else [data]
    return any(isinstance(item.get("chat"), dict) for item in dicts(items))


def recognises_database(tables: frozenset[str]) -> bool:
    return "chat" in tables and "user" in tables


def read(path: Path) -> Iterator[ForeignConversation]:
    data = json_of(path)
    for item in dicts(data if isinstance(data, list) else [data]):
        if isinstance(item.get("chat"), dict):
            yield _conversation(item, item["chat"])


def read_database(path: Path) -> Iterator[ForeignConversation]:
    with contextlib.closing(read_only(path)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            rows = connection.execute(
                "SELECT id, title, chat, created_at FROM chat ORDER BY created_at"
            ).fetchall()
        except sqlite3.DatabaseError as error:
            raise InvalidImport(f"{path.name} cannot be read as Open WebUI's database: {error}") from None
    for row in rows:
        with contextlib.suppress(ValueError):
            chat = json.loads(row["chat"])
            if isinstance(chat, dict):
                yield _conversation(dict(row), chat)


def _conversation(item: dict[str, Any], chat: dict[str, Any]) -> ForeignConversation:
    conversation = ForeignConversation(NAME, str(item.get("id")), item.get("title") or chat.get("title"))
    for message in _branch(chat):
        conversation.add(
            message.get("role"), message.get("content"), message.get("id"), message.get("timestamp")
        )
    return conversation


def _branch(chat: dict[str, Any]) -> list[dict[str, Any]]:
    history = chat.get("history")
    messages = history.get("messages") if isinstance(history, dict) else None
    if not isinstance(history, dict) or not isinstance(messages, dict):
        return list(dicts(chat.get("messages")))
    branch: list[dict[str, Any]] = []
    node = messages.get(str(history.get("currentId")))
    while isinstance(node, dict) and len(branch) <= len(messages):
        branch.append(node)
        node = messages.get(str(node.get("parentId")))
    return branch[::-1]
