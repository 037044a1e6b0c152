"""One SQLite file: opened, migrated, shared by threads, its errors translated.

Knows nothing of what is stored. Readers never wait for the writer (WAL); writers queue.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared_context.errors import StoreError
from shared_context.storage.file_identity import FileIdentity
from shared_context.storage.migrate import Migration, check_openable, migrate
from shared_context.storage.permissions import make_private
from shared_context.storage.sqlite_errors import translated, translated_system

BUSY_TIMEOUT_S = 5.0
"""How long a statement waits for another process's lock before StoreLocked."""

IDLE_READERS = 8
"""Read connections kept open between uses: about the threads that read at the same time.
More are opened when needed and closed after use."""


MERGED_PAGES = 500
"""Pages of a full-text index that one transaction merges, so that others need not wait long."""


class Database:
    """A SQLite file in WAL mode, safe to use from any thread.

    Only its owner may read the file. Each use makes sure that it is still the one that was opened.

    Opening creates the file and its folder, or brings an older schema up to date after
    copying it to `<name>.v<N>.bak`.

    Args:
        path: the file.
        migrations: functions `m001_…`, `m002_…`; they are sorted by name.
        every_commit_durable: True syncs to disk on every commit, so that even a power cut
            loses nothing. False lets a power cut lose the last commits (never the file's
            consistency, and nothing at all when only the process dies).

    Raises:
        StoreFromFuture, StoreCorrupt, StoreReadOnly, StoreFull, StoreLocked.
    """

    def __init__(
        self, path: Path, migrations: Sequence[Migration], *, every_commit_durable: bool = True
    ) -> None:
        self.path = Path(path)
        self._synchronous = "FULL" if every_commit_durable else "NORMAL"
        self._write_lock = threading.RLock()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._closed = False
        self._listeners: list[Callable[[], None]] = []
        with translated(self.path), translated_system(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            check_openable(self.path, migrations)
            make_private(self.path)
            self._identity = FileIdentity(self.path)
            self._writer = self._connect()
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
                migrate(self._writer, self.path, migrations)
            except BaseException:
                self._writer.close()
                raise

    def check(self) -> None:
        """
        Raises:
            StoreGone: the file was deleted, unmounted or replaced since it was opened.
        """
        self._identity.check()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that commits at the end of the block, or leaves nothing on an error.

        Writers of all threads queue here. A block inside a block of the same thread joins the
        outer transaction, which then commits everything or nothing.
        """
        with self._write_lock, translated(self.path):
            self._refuse_when_closed()
            if self._writer.in_transaction:
                yield self._writer
                return
            self._identity.check()
            self._writer.execute("BEGIN IMMEDIATE")
            before = self._writer.total_changes
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            if self._writer.total_changes != before:
                for listener in list(self._listeners):
                    listener()

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call this after every commit that changed something, in the thread that wrote, which
        waits for it: it should only wake somebody. Returns a function that ends the calls."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one moment of the database for the whole block.

        Never waits for a writer. Does not see what the same thread is writing uncommitted.
        """
        with translated(self.path):
            self._identity.check()
            connection = self._borrow_reader()
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                self._return_reader(connection)

    def sync(self) -> None:
        """Everything committed so far survives a power cut, whatever `every_commit_durable` is."""
        with self._write_lock, translated(self.path):
            self._refuse_when_closed()
            # A checkpoint syncs the log before it copies anything.
            self._writer.execute("PRAGMA wal_checkpoint (PASSIVE)").fetchall()

    def scrub(self, *full_text: str) -> None:
        """Nothing of what was deleted so far is left in the file or its log. Waits for readers shortly;
        what one of them still needs of the log goes with a later call.

        Args:
            full_text: FTS5 tables, whose words stay in their segments until these are merged.
        """
        for table in full_text:
            pages = -MERGED_PAGES
            changed = True
            while changed:
                with self.write() as connection:
                    before = connection.total_changes
                    # sqlite.org/fts5.html, 6.8: fewer than two changes mean that nothing is left to merge.
                    connection.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('merge', ?)", (pages,))  # noqa: S608 -- our own name
                    changed = connection.total_changes - before >= 2
                pages = MERGED_PAGES
        with self._write_lock, translated(self.path):
            self._refuse_when_closed()
            self._writer.execute("PRAGMA wal_checkpoint (TRUNCATE)").fetchall()

    def close(self) -> None:
        """Waits for the running write, then closes the file. Idempotent."""
        with self._write_lock:
            if self._closed:
                return
            with self._readers_lock:
                self._closed = True
                readers, self._readers = self._readers, []
            for connection in readers:
                connection.close()
            self._writer.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        return connection

    def _borrow_reader(self) -> sqlite3.Connection:
        with self._readers_lock:
            self._refuse_when_closed()
            if self._readers:
                return self._readers.pop()
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _return_reader(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        with self._readers_lock:
            if not self._closed and len(self._readers) < IDLE_READERS:
                self._readers.append(connection)
                return
        connection.close()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreError(f"The database {self.path.name} is closed.", "Restart the program.")
