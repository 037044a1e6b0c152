"""A conversation of another program: its messages in order, and what was not taken of it."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared_context.conversations.store import MAX_ID_CHARS, MAX_TITLE_CHARS
from shared_context.errors import InvalidImport
from shared_context.storage.identity import timestamp

ROLES = {"user": "user", "human": "user", "assistant": "assistant", "model": "assistant"}
MOST_BYTES = 2 * 1024**3
"""Of one export file; read whole, it takes some times as much memory."""
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._:-]+")


@dataclass(frozen=True, slots=True)
class ForeignMessage:
    role: str
    content: str
    message_id: str
    created_at: str | None


@dataclass(slots=True)
class ForeignConversation:
    """
    Args:
        source: short name of the program.
        source_id: of the conversation there.
        skipped: what was not taken, in words, with how often.
    """

    source: str
    source_id: str
    title: str | None = None
    messages: list[ForeignMessage] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def conversation_id(self) -> str:
        return _id(self.source, self.source_id)

    def add(self, role: Any, content: Any, message_id: Any = None, at: Any = None) -> None:
        """Take a message, or count why it was not taken. Messages without an id get one from their place."""
        known = ROLES.get(str(role))
        if known is None:
            self.skipped[f"messages of the role {str(role)[:30]!r}"] += 1
            return
        text, left_out = text_of(content)
        self.skipped.update(left_out)
        if not text.strip():
            self.skipped["messages without text"] += 1
            return
        name = str(message_id) if message_id else str(len(self.messages))
        self.messages.append(ForeignMessage(known, text, _id(self.source, self.source_id, name), moment(at)))

    def as_import(self) -> dict[str, Any]:
        """What `transfer.import_conversation` takes."""
        return {
            "conversation_id": self.conversation_id,
            "title": one_line(self.title)[:MAX_TITLE_CHARS] if self.title else None,
            "history": [
                {
                    "role": message.role,
                    "content": message.content,
                    "message_id": message.message_id,
                    "created_at": message.created_at,
                }
                for message in self.messages
            ],
        }


def text_of(content: Any) -> tuple[str, Counter[str]]:
    """The text of a message's content: a string, or parts as chat APIs write them; and what else was there."""
    left_out: Counter[str] = Counter()
    if isinstance(content, str):
        return content, left_out
    parts: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            parts.append(part["text"])
        elif part is not None:
            kind = str(part.get("type") or part.get("content_type")) if isinstance(part, dict) else "unknown"
            left_out[f"parts of the kind {kind[:40]!r}"] += 1
    return "\n\n".join(part for part in parts if part.strip()), left_out


def moment(at: Any) -> str | None:
    """Seconds or milliseconds since 1970, or ISO 8601, as the store writes times; None: unknown."""
    try:
        if isinstance(at, (int, float)) and not isinstance(at, bool) and at > 0:
            return timestamp(datetime.fromtimestamp(at / 1000 if at > 1e11 else at, UTC))
        if isinstance(at, str) and at:
            parsed = datetime.fromisoformat(at)
            return timestamp(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    except (ValueError, OverflowError, OSError):
        return None
    return None


def one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def json_of(path: Path) -> Any:
    """
    Raises:
        InvalidImport: it is no JSON, or too large.
    """
    if path.stat().st_size > MOST_BYTES:
        raise InvalidImport(f"{path.name} is larger than {MOST_BYTES // 1024**3} GiB.")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidImport(f"{path.name} is no JSON: {error}") from None


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file with one on each line; lines that are none are passed over, as a program that
    was killed leaves half a line."""
    with path.open("rb") as file:
        for line in file:
            try:
                item = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(item, dict):
                yield item


def read_only(path: Path) -> sqlite3.Connection:
    """A database of another program, which may be running; it is not written to."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def dicts(items: Any) -> Iterable[dict[str, Any]]:
    return (item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()


def _id(*parts: str) -> str:
    """An id of ours made of another program's: the same each time."""
    name = _NOT_IN_IDS.sub("-", ":".join(parts))
    if len(name) <= MAX_ID_CHARS:
        return name
    return f"{parts[0]}:{hashlib.sha256(':'.join(parts).encode('utf-8', 'replace')).hexdigest()[:32]}"
