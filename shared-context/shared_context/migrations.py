"""Schema of `memory.db`, step by step.

Messages and deletions form a grow-only log: each has `(origin, sequence)`, the replica that
made it and that replica's count, so that a version vector can say what a replica has.
"""

from __future__ import annotations

import sqlite3

from shared_context.identity import new_id, now

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

MIGRATIONS = (m001_conversations,)
