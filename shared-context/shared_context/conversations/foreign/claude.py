"""Claude's data export: `conversations.json`, a list with `chat_messages`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared_context.conversations.foreign.conversation import ForeignConversation, dicts, json_of

NAME = "claude"


def recognises(data: Any) -> bool:
    return any(isinstance(item.get("chat_messages"), list) for item in dicts(data))


def read(path: Path) -> Iterator[ForeignConversation]:
    for item in dicts(json_of(path)):
        conversation = ForeignConversation(NAME, str(item.get("uuid")), item.get("name"))
        for message in dicts(item.get("chat_messages")):
            content = message.get("content")
            parts = content if isinstance(content, list) and content else message.get("text")
            conversation.add(message.get("sender"), parts, message.get("uuid"), message.get("created_at"))
            for kind in ("attachments", "files"):
                if files := message.get(kind):
                    conversation.skipped[kind] += len(files) if isinstance(files, list) else 1
        yield conversation
