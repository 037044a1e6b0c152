"""Schema of `memory.db`, step by step.

Messages, deletions, titles and states form a log: each has `(origin, sequence)`, the writer that
made it and that writer's count, so that a version vector can say what a replica has. A writer is
one opening of one replica's file (see `origins`). What was handed off and what was summarised are
this replica's own: not in the log, never exchanged.
"""

from __future__ import annotations

import json
import sqlite3

from shared_context.conversations import quotations
from shared_context.storage.clock import stamp_of
from shared_context.storage.identity import new_id, now

DEFAULT_CONVERSATION = "default"


def m001_conversations(connection: sqlite3.Connection) -> None:
    for statement in _M001:
        connection.execute(statement)
    connection.execute("INSERT INTO meta (key, value) VALUES ('replica_id', ?)", (new_id(),))
    connection.execute("INSERT INTO meta (key, value) VALUES ('sequence', 0)")
    connection.execute(
        "INSERT INTO conversations (conversation_id, created_at, updated_at) VALUES (?1, ?2, ?2)",
        (DEFAULT_CONVERSATION, now()),
    )


_M001 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
    # title: given by a person, with the clock of the last writer; auto_title: from the first
    # user message. turn_count is kept by triggers, because counting 100,000 rows is slow.
    """CREATE TABLE conversations (
        conversation_id TEXT PRIMARY KEY,
        title TEXT,
        title_clock TEXT,
        auto_title TEXT,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        deleted_at TEXT,
        turn_count INTEGER NOT NULL DEFAULT 0
    )""",
    """CREATE INDEX conversations_latest ON conversations (updated_at, conversation_id)
        WHERE deleted_at IS NULL""",
    # position ties a message to its row in the search index.
    """CREATE TABLE messages (
        position INTEGER PRIMARY KEY,
        message_id TEXT NOT NULL UNIQUE,
        conversation_id TEXT NOT NULL REFERENCES conversations (conversation_id),
        role TEXT NOT NULL,
        content TEXT NOT NULL,
        created_at TEXT NOT NULL,
        tier TEXT,
        model TEXT,
        run_id TEXT,
        reply_to TEXT,
        receipt TEXT,
        origin TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        UNIQUE (origin, sequence)
    )""",
    "CREATE INDEX messages_in_order ON messages (conversation_id, created_at, message_id)",
    "CREATE INDEX messages_replies ON messages (reply_to) WHERE reply_to IS NOT NULL",
    # A deleted message: its text is gone, its id stays so that it cannot come back.
    """CREATE TABLE tombstones (
        message_id TEXT PRIMARY KEY,
        conversation_id TEXT NOT NULL,
        deleted_at TEXT NOT NULL,
        origin TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        UNIQUE (origin, sequence)
    ) WITHOUT ROWID""",
    """CREATE VIRTUAL TABLE messages_fts USING fts5 (
        content, content = 'messages', content_rowid = 'position',
        tokenize = 'unicode61 remove_diacritics 2'
    )""",
    """CREATE TRIGGER messages_added AFTER INSERT ON messages BEGIN
        INSERT INTO messages_fts (rowid, content) VALUES (new.position, new.content);
        UPDATE conversations
            SET updated_at = max(updated_at, new.created_at),
                turn_count = turn_count + (new.role = 'user')
            WHERE conversation_id = new.conversation_id;
    END""",
    """CREATE TRIGGER messages_removed AFTER DELETE ON messages BEGIN
        INSERT INTO messages_fts (messages_fts, rowid, content)
            VALUES ('delete', old.position, old.content);
        UPDATE conversations SET turn_count = turn_count - (old.role = 'user')
            WHERE conversation_id = old.conversation_id;
    END""",
    # What the store hands out: column by column the fields of Conversation and Message.
    """CREATE VIEW conversation_view AS
        SELECT conversation_id, coalesce(title, auto_title, '') AS title, created_at, updated_at,
            turn_count
        FROM conversations WHERE deleted_at IS NULL""",
    """CREATE VIEW message_view AS
        SELECT message_id, conversation_id, role, content, created_at, tier, model, run_id, reply_to,
            receipt
        FROM messages""",
)


def m002_replication(connection: sqlite3.Connection) -> None:
    for statement in _M002:
        connection.execute(statement)
    _log_titles_and_states(connection)
    connection.execute("DELETE FROM meta WHERE key = 'sequence'")
    connection.execute("ALTER TABLE conversations DROP COLUMN title_clock")


_M002 = (
    # sequence: how far this replica has that writer's log, so this table is the version vector.
    """CREATE TABLE origins (
        origin TEXT PRIMARY KEY,
        replica_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        sequence INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX origins_of_replica ON origins (replica_id, number)",
    # What can be said anew about a conversation; the latest stamp wins. Field `title`: a person's
    # title or null. Field `state`: since when it exists, or null when it was deleted.
    """CREATE TABLE registers (
        conversation_id TEXT NOT NULL,
        field TEXT NOT NULL,
        value TEXT,
        stamp TEXT NOT NULL,
        origin TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (conversation_id, field),
        UNIQUE (origin, sequence)
    ) WITHOUT ROWID""",
    "CREATE INDEX tombstones_in_conversation ON tombstones (conversation_id, deleted_at)",
    """INSERT INTO origins (origin, replica_id, number, sequence) SELECT value, value, 0,
        (SELECT value FROM meta WHERE key = 'sequence') FROM meta WHERE key = 'replica_id'""",
)


def _log_titles_and_states(connection: sqlite3.Connection) -> None:
    """What was only in a conversation's row becomes part of the log, so that it is replicated."""
    origin, sequence = connection.execute("SELECT origin, sequence FROM origins").fetchone()
    rows = connection.execute(
        """SELECT conversation_id, title, title_clock, created_at, deleted_at FROM conversations
            WHERE conversation_id <> ?""",
        (DEFAULT_CONVERSATION,),
    ).fetchall()
    titled = connection.execute(
        """SELECT conversation_id, title, title_clock FROM conversations
            WHERE title IS NOT NULL AND title_clock IS NOT NULL AND deleted_at IS NULL"""
    ).fetchall()
    registers = [
        (row["conversation_id"], "state", None if row["deleted_at"] else row["created_at"],
         row["deleted_at"] or row["created_at"])
        for row in rows
    ] + [(row["conversation_id"], "title", row["title"], row["title_clock"]) for row in titled]  # fmt: skip
    for conversation_id, field, value, moment in registers:
        sequence += 1
        connection.execute(
            "INSERT INTO registers VALUES (?, ?, ?, ?, ?, ?)",
            (conversation_id, field, value, stamp_of(moment, origin), origin, sequence),
        )
    connection.execute("UPDATE origins SET sequence = ?", (sequence,))


def m003_sessions(connection: sqlite3.Connection) -> None:
    for statement in _M003:
        connection.execute(statement)


_M003 = (
    """CREATE TABLE handoffs (
        entry_id TEXT PRIMARY KEY,
        conversation_id TEXT NOT NULL,
        log_version TEXT,
        briefing_version TEXT,
        confirmed_at TEXT NOT NULL
    ) WITHOUT ROWID""",
    # Message by message, not up to a moment: what a phone delivers late is not passed over.
    """CREATE TABLE handed_off (
        message_id TEXT PRIMARY KEY,
        conversation_id TEXT NOT NULL,
        entry_id TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX handed_off_of ON handed_off (conversation_id)",
    # Sentences of messages that left a prompt's window. `made_from` names them and how they were
    # chosen, so a summary of something else is never found.
    """CREATE TABLE summaries (
        conversation_id TEXT NOT NULL,
        made_from TEXT NOT NULL,
        text TEXT NOT NULL,
        made_at TEXT NOT NULL,
        PRIMARY KEY (conversation_id, made_from)
    ) WITHOUT ROWID""",
    # It quotes messages, so it goes when one of them is deleted, however that came about.
    """CREATE TRIGGER summaries_forgotten AFTER DELETE ON messages BEGIN
        DELETE FROM summaries WHERE conversation_id = old.conversation_id;
    END""",
)


def m004_versions(connection: sqlite3.Connection) -> None:
    for statement in _M004:
        connection.execute(statement)


_M004 = (
    # supersedes is part of the message; the other two are worked out from all of them (`versions`).
    "ALTER TABLE messages ADD COLUMN supersedes TEXT",
    "ALTER TABLE messages ADD COLUMN superseded_by TEXT",
    "ALTER TABLE messages ADD COLUMN place TEXT",
    "UPDATE messages SET place = created_at",
    "CREATE INDEX messages_superseding ON messages (supersedes) WHERE supersedes IS NOT NULL",
    """CREATE INDEX messages_superseded ON messages (conversation_id, superseded_by)
        WHERE superseded_by IS NOT NULL""",
    """CREATE INDEX messages_placed ON messages (conversation_id, place, message_id)
        WHERE superseded_by IS NULL""",
    "DROP VIEW message_view",
    """CREATE VIEW message_view AS
        SELECT message_id, conversation_id, role, content, created_at, tier, model, run_id, reply_to,
            receipt, supersedes
        FROM messages""",
)


def m005_quotations(connection: sqlite3.Connection) -> None:
    for statement in _M005:
        connection.execute(statement)
    rows = connection.execute("SELECT message_id, receipt FROM messages WHERE receipt IS NOT NULL").fetchall()
    for row in rows:
        receipt = json.loads(row["receipt"])
        left = quotations.note(connection, row["message_id"], receipt)
        if left != receipt:
            connection.execute(
                "UPDATE messages SET receipt = ? WHERE message_id = ?", (json.dumps(left), row["message_id"])
            )


_M005 = (
    # Which messages an answer's receipt has words of. They go with the message.
    """CREATE TABLE quotations (
        quoting TEXT NOT NULL,
        quoted TEXT NOT NULL,
        PRIMARY KEY (quoting, quoted)
    ) WITHOUT ROWID""",
    "CREATE INDEX quotations_of ON quotations (quoted)",
    """CREATE TRIGGER quotations_removed AFTER DELETE ON messages BEGIN
        DELETE FROM quotations WHERE quoting = old.message_id;
    END""",
)


def m006_devices(connection: sqlite3.Connection) -> None:
    connection.execute(_M006)


# Paired devices are registers: fields `grant`, `name` and `revoked` of a device's id, see
# `shared_context.devices`. When a device was seen is this replica's own.
_M006 = """CREATE TABLE devices_seen (
        device_id TEXT PRIMARY KEY,
        at TEXT NOT NULL,
        way TEXT NOT NULL
    ) WITHOUT ROWID"""


def m007_texts(connection: sqlite3.Connection) -> None:
    connection.execute(_M007)


# For clients that know messages by their text alone (`ConversationStore.saying`): enough of it to tell most apart.
_M007 = """CREATE INDEX messages_saying
    ON messages (role, substr(trim(content, char(9, 10, 13, 32)), 1, 40))"""


MIGRATIONS = (
    m001_conversations,
    m002_replication,
    m003_sessions,
    m004_versions,
    m005_quotations,
    m006_devices,
    m007_texts,
)
