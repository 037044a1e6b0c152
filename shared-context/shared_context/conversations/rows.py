"""A conversation's row, worked out from the log: the same on every replica that has the same log.

A conversation is there when it was begun and not deleted, and also when a message of it is there:
what somebody said while somebody else deleted the conversation is not lost.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from shared_context.conversations.messages import auto_title
from shared_context.conversations.migrations import DEFAULT_CONVERSATION
from shared_context.storage.clock import time_of


@dataclass(frozen=True, slots=True)
class Register:
    """The present value of something about a conversation, and the stamp it was set with."""

    value: str | None
    stamp: str


def register(connection: sqlite3.Connection, conversation_id: str, field: str) -> Register | None:
    query = "SELECT value, stamp FROM registers WHERE conversation_id = ? AND field = ?"
    row = connection.execute(query, (conversation_id, field)).fetchone()
    return None if row is None else Register(row["value"], row["stamp"])


def set_register(
    connection: sqlite3.Connection,
    conversation_id: str,
    field: str,
    value: Register,
    origin: str,
    sequence: int,
) -> bool:
    """Set it, unless what is there has a later stamp; returns whether it was set."""
    done = connection.execute(_SET, (conversation_id, field, value.value, value.stamp, origin, sequence))
    return done.rowcount > 0


def ensure_row(connection: sqlite3.Connection, conversation_id: str, moment: str) -> None:
    """A row to hang messages on; `refresh` puts the truth in it."""
    connection.execute(_ENSURE, (conversation_id, moment))


def refresh(connection: sqlite3.Connection, conversation_id: str) -> None:
    """Work the row out anew; nothing when there is no row."""
    row = connection.execute(_SPAN, (conversation_id,)).fetchone()
    if row is None:
        return
    state = register(connection, conversation_id, "state")
    begun = state.value if state is not None else None
    created_at = begun or row["first"] or row["buried"] or row["created_at"]
    updated_at = max(moment for moment in (created_at, row["last"], row["buried"]) if moment)
    there = begun is not None or row["first"] is not None or conversation_id == DEFAULT_CONVERSATION
    if not there:
        # Every replica that knows of the deletion does so; the stamp stays, and with it who wins.
        connection.execute(_FORGET_TITLE, (conversation_id,))
    title = register(connection, conversation_id, "title")
    deleted_at = None if there else (time_of(state.stamp) if state is not None else updated_at)
    connection.execute(
        _UPDATE,
        (
            title.value if title is not None else None,
            _auto_title(connection, conversation_id),
            created_at,
            updated_at,
            deleted_at,
            conversation_id,
        ),
    )


def _auto_title(connection: sqlite3.Connection, conversation_id: str) -> str | None:
    for row in connection.execute(_QUESTIONS, (conversation_id,)):
        title = auto_title(row["content"])
        if title is not None:
            return title
    return None


_SET = """INSERT INTO registers (conversation_id, field, value, stamp, origin, sequence)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (conversation_id, field) DO UPDATE SET value = excluded.value, stamp = excluded.stamp,
        origin = excluded.origin, sequence = excluded.sequence
    WHERE excluded.stamp > stamp"""
_FORGET_TITLE = "UPDATE registers SET value = NULL WHERE conversation_id = ? AND field = 'title'"
_ENSURE = """INSERT OR IGNORE INTO conversations (conversation_id, created_at, updated_at)
    VALUES (?1, ?2, ?2)"""
_SPAN = """SELECT created_at,
        (SELECT min(created_at) FROM messages WHERE conversation_id = ?1) AS first,
        (SELECT max(created_at) FROM messages WHERE conversation_id = ?1) AS last,
        (SELECT max(deleted_at) FROM tombstones WHERE conversation_id = ?1) AS buried
    FROM conversations WHERE conversation_id = ?1"""
_UPDATE = """UPDATE conversations SET title = ?, auto_title = ?, created_at = ?, updated_at = ?,
    deleted_at = ? WHERE conversation_id = ?"""
_QUESTIONS = """SELECT content FROM messages WHERE conversation_id = ? AND role = 'user'
    ORDER BY created_at, message_id"""
