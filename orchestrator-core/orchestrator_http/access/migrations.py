"""Schema of `access.db`, step by step."""

from __future__ import annotations

import sqlite3


def m001_keys_and_events(connection: sqlite3.Connection) -> None:
    for statement in _M001:
        connection.execute(statement)


_M001 = (
    """CREATE TABLE api_keys (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        key_hash BLOB NOT NULL UNIQUE,
        created_at TEXT NOT NULL,
        last_used_at TEXT,
        revoked_at TEXT
    )""",
    """CREATE TABLE events (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        what TEXT NOT NULL,
        subject TEXT NOT NULL,
        address TEXT NOT NULL,
        detail TEXT NOT NULL
    )""",
)

MIGRATIONS = (m001_keys_and_events,)
