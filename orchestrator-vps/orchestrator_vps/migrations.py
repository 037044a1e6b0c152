"""Schema of `relay.db`, step by step."""

from __future__ import annotations

import sqlite3


def m001_desktops(connection: sqlite3.Connection) -> None:
    for statement in _M001:
        connection.execute(statement)


_M001 = (
    """CREATE TABLE desktops (
        desktop_id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        replica TEXT NOT NULL,
        role TEXT NOT NULL,
        credential_hash BLOB NOT NULL UNIQUE,
        enrolled_at TEXT NOT NULL,
        seen_at TEXT,
        revoked_at TEXT
    )""",
    "CREATE TABLE codes (code_hash BLOB PRIMARY KEY, expires_at TEXT NOT NULL, used_at TEXT)",
)

MIGRATIONS = (m001_desktops,)
