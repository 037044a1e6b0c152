"""What the memory keeps about the documents in SQLite: updates, versions, files last seen."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared_context.storage.database import Database

COMPACT_AFTER = 500
"""Updates kept one by one; then they are merged into a single snapshot."""


def m001_documents(connection: sqlite3.Connection) -> None:
    for statement in _M001:
        connection.execute(statement)


_M001 = (
    # The shared lines: apply all of them in order.
    "CREATE TABLE updates (position INTEGER PRIMARY KEY, content BLOB NOT NULL)",
    # The text of each file that was last read from it or written to it.
    "CREATE TABLE seen (path TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID",
    # Every version of every document; text is kept until the version is in the history.
    """CREATE TABLE versions (
        position INTEGER PRIMARY KEY,
        path TEXT NOT NULL,
        version TEXT NOT NULL,
        author TEXT NOT NULL,
        at TEXT NOT NULL,
        summary TEXT NOT NULL,
        change_id TEXT NOT NULL UNIQUE,
        text TEXT
    )""",
    "CREATE INDEX versions_of_path ON versions (path, version)",
    "CREATE INDEX versions_waiting ON versions (position) WHERE text IS NOT NULL",
    # Entries ever appended to a log, also those that a person deleted since.
    "CREATE TABLE entries (path TEXT, entry_id TEXT, PRIMARY KEY (path, entry_id)) WITHOUT ROWID",
)


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version of a document. `text` is there until the version is in the history."""

    path: str
    version: str
    author: str
    at: str
    summary: str
    change_id: str
    text: str | None = None


class DocumentDatabase:
    """The tables, opened. Raises the StoreErrors of `Database`.

    Every commit is synced: a change that was answered for, and perhaps sent to another tier,
    must not disappear in a power cut.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, [m001_documents])

    def updates(self) -> list[bytes]:
        with self._database.read() as connection:
            rows = connection.execute("SELECT content FROM updates ORDER BY position")
            return [bytes(row["content"]) for row in rows]

    def add_change(
        self,
        updates: Sequence[bytes],
        versions: Sequence[StoredVersion],
        *,
        seen: Mapping[str, bytes] | None = None,
        entry: tuple[str, str] | None = None,
    ) -> None:
        """One change, all of it or nothing.

        Args:
            updates: of the shared lines, in order.
            versions: the new version of each document whose text it changed.
            seen: content of the files, by path, that the change was read from.
            entry: path and id of the log entry that it appends, or of the edit that it is.
        """
        with self._database.write() as connection:
            connection.executemany(
                "INSERT INTO updates (content) VALUES (?)", [(update,) for update in updates if update]
            )
            connection.executemany(
                "INSERT INTO versions (path, version, author, at, summary, change_id, text) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(v.path, v.version, v.author, v.at, v.summary, v.change_id, v.text) for v in versions],
            )
            for path, content in (seen or {}).items():
                _see(connection, path, content)
            if entry is not None:
                connection.execute("INSERT OR IGNORE INTO entries VALUES (?, ?)", entry)

    def compact(self, snapshot: Callable[[], bytes], after: int = COMPACT_AFTER) -> bool:
        """Replace the updates by the snapshot they amount to, when there are more than `after`."""
        with self._database.write() as connection:
            count = connection.execute("SELECT count(*) FROM updates").fetchone()[0]
            if count <= after:
                return False
            connection.execute("DELETE FROM updates")
            connection.execute("INSERT INTO updates (content) VALUES (?)", (snapshot(),))
            return True

    def seen(self, path: str) -> bytes | None:
        with self._database.read() as connection:
            row = connection.execute("SELECT content FROM seen WHERE path = ?", (path,)).fetchone()
            return None if row is None else bytes(row["content"])

    def see(self, path: str, content: bytes) -> None:
        with self._database.write() as connection:
            _see(connection, path, content)

    def has_entry(self, path: str, entry_id: str) -> bool:
        with self._database.read() as connection:
            entries = connection.execute(
                "SELECT 1 FROM entries WHERE path = ? AND entry_id = ?", (path, entry_id)
            )
            return entries.fetchone() is not None

    def versions(self, path: str, limit: int) -> list[StoredVersion]:
        """Newest first, without texts."""
        return self._select("WHERE path = ? ORDER BY position DESC LIMIT ?", path, limit, text="NULL")

    def version(self, path: str, version: str) -> StoredVersion | None:
        """The latest of this document whose version starts so."""
        versions = self._select(
            "WHERE path = ? AND substr(version, 1, ?) = ? ORDER BY position DESC LIMIT 1",
            path,
            len(version),
            version,
        )
        return versions[0] if versions else None

    def waiting(self) -> list[StoredVersion]:
        """Versions that are not in the history yet, oldest first."""
        return self._select("WHERE text IS NOT NULL ORDER BY position")

    def recorded(self, change_id: str) -> None:
        """The history has this version now."""
        with self._database.write() as connection:
            connection.execute("UPDATE versions SET text = NULL WHERE change_id = ?", (change_id,))

    def rename_versions(self, new_ids: Mapping[str, str]) -> None:
        """The history was rewritten: what these versions were has other ids now."""
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE versions SET version = ? WHERE version = ?",
                [(new, old) for old, new in new_ids.items()],
            )

    def scrub(self) -> None:
        """Nothing of what was deleted so far is left in the file or its log."""
        self._database.scrub()

    def close(self) -> None:
        self._database.close()

    def _select(self, where: str, *values: str | int, text: str = "text") -> list[StoredVersion]:
        columns = f"path, version, author, at, summary, change_id, {text} AS text"
        with self._database.read() as connection:
            rows = connection.execute(f"SELECT {columns} FROM versions {where}", values)  # noqa: S608 - constants
            return [StoredVersion(**dict(row)) for row in rows]


def _see(connection: sqlite3.Connection, path: str, content: bytes) -> None:
    connection.execute("INSERT OR REPLACE INTO seen (path, content) VALUES (?, ?)", (path, content))
