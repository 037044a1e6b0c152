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


def m002_addresses(connection: sqlite3.Connection) -> None:
    """From where a desktop dialled in last, and from where else its credential was used last."""
    connection.execute("ALTER TABLE desktops ADD COLUMN address TEXT NOT NULL DEFAULT ''")
    connection.execute("ALTER TABLE desktops ADD COLUMN elsewhere TEXT NOT NULL DEFAULT ''")
    connection.execute("ALTER TABLE desktops ADD COLUMN elsewhere_at TEXT")


MIGRATIONS = (m001_desktops, m002_addresses)
