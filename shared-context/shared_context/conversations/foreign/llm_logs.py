"""The `llm` command's `logs.db`: one row for each prompt with its response."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from shared_context.conversations.foreign.conversation import ForeignConversation, read_only
from shared_context.errors import InvalidImport

NAME = "llm"


def recognises_database(tables: frozenset[str]) -> bool:
    return {"responses", "conversations"} <= tables


def read_database(path: Path) -> Iterator[ForeignConversation]:
    with contextlib.closing(read_only(path)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            rows = connection.execute(_ROWS).fetchall()
        except sqlite3.DatabaseError as error:
            raise InvalidImport(f"{path.name} cannot be read as llm's logs: {error}") from None
    conversation: ForeignConversation | None = None
    for row in rows:
        name = str(row["conversation_id"] or row["id"])
        if conversation is None or conversation.source_id != name:
            if conversation is not None:
                yield conversation
            conversation = ForeignConversation(NAME, name, row["name"])
        conversation.add("user", row["prompt"], f"{row['id']}-prompt", row["datetime_utc"])
        conversation.add("assistant", row["response"], str(row["id"]), row["datetime_utc"])
    if conversation is not None:
        yield conversation


_ROWS = """SELECT r.id, r.prompt, r.response, r.conversation_id, r.datetime_utc, c.name
    FROM responses AS r LEFT JOIN conversations AS c ON c.id = r.conversation_id
    ORDER BY coalesce(r.conversation_id, r.id), r.datetime_utc, r.id"""
