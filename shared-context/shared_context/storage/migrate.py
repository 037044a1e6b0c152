"""Bringing a database's schema up to date: all steps or none, after a copy.

A migration is a function named `m001_create_tables`: the number is the schema version it
leads to, kept in SQLite's `user_version`. It must use `execute`, one statement at a time:
`executescript` would commit half-way.
"""

from __future__ import annotations

import re
import sqlite3
import struct
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from shared_context.errors import StoreFromFuture
from shared_context.storage.permissions import make_private
from shared_context.storage.sqlite_errors import corrupt

Migration = Callable[[sqlite3.Connection], None]

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\x00"
_USER_VERSION_AT = 60
"""Offset of the big-endian user_version in the header (sqlite.org/fileformat.html, 1.3)."""


def check_openable(path: Path, migrations: Sequence[Migration]) -> None:
    """Refuse a file that must not be touched, before anything could alter it.

    Raises:
        StoreFromFuture: its schema is newer than the last of `migrations`.
        StoreCorrupt: it is no database, or one of another program.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    newest = len(_in_order(migrations))
    version = _version_in_header(path)
    _refuse_future(path, version, newest)
    wal = path.with_name(path.name + "-wal")
    if version > 0 and not wal.exists():
        return
    # After a crash the newest header may still be in the write-ahead log. A read-only
    # connection sees it and cannot move it into the file.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        version = _version_of(connection)
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    _refuse_future(path, version, newest)
    if version == 0 and tables:
        raise corrupt(path, "it belongs to another program")


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Apply what is missing in one transaction; a crash leaves the old schema.

    An existing database is copied to `<name>.v<N>.bak` first.
    """
    ordered = _in_order(migrations)
    version = _version_of(connection)
    if version >= len(ordered):
        return
    if version > 0:
        copy_database(connection, path.with_name(f"{path.name}.v{version}.bak"), version=version)
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have migrated while this one waited for the lock.
        for step in ordered[_version_of(connection) :]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {len(ordered)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def copy_database(source: sqlite3.Connection, target: Path, *, version: int) -> None:
    """A consistent copy at `target`, also while others write; replaced in one step.

    Nothing is kept when another process migrated `source` from `version` in the meantime: it
    made the copy.
    """
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.partial")
    try:
        make_private(partial)
        with closing(sqlite3.connect(partial)) as connection:
            source.backup(connection)
            same = _version_of(connection) == version
        if same:
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _in_order(migrations: Sequence[Migration]) -> list[Migration]:
    ordered = sorted(migrations, key=lambda step: step.__name__)
    for number, step in enumerate(ordered, start=1):
        if not re.match(rf"m{number:03d}_", step.__name__):
            raise ValueError(f"Migration {step.__name__!r} should start with 'm{number:03d}_'.")
    return ordered


def _version_in_header(path: Path) -> int:
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise corrupt(path, "the first bytes are not SQLite's")
    return int(struct.unpack_from(">I", header, _USER_VERSION_AT)[0])


def _version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_future(path: Path, version: int, newest: int) -> None:
    if version > newest:
        raise StoreFromFuture(
            f"{path.name} has schema version {version}; this program knows versions up to {newest}.",
            f"Update the program, or put back the copy {path.name}.v{newest}.bak if there is one. "
            "The file was not changed.",
        )
