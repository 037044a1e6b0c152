"""SQLite's and the operating system's complaints, as this package's errors."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared_context.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
)

_PRIMARY = 0xFF
"""Extended result codes carry the primary code in the low byte (sqlite.org/rescode.html)."""

_NEARLY_FULL_BYTES = 256 * 1024
"""SQLite extends its shared-memory file in 32 KiB steps and a page is 4 KiB: below this an
I/O error while writing is taken for a full disk."""

_OS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OS_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise this package's errors for what SQLite says about `path`.

    Programming mistakes (bad SQL, broken constraints) pass unchanged.
    """
    try:
        yield
    except sqlite3.Error as error:
        known = of_sqlite(error, path)
        if known is None:
            raise
        raise known from error


@contextmanager
def translated_system(path: Path) -> Iterator[None]:
    """The same for what the operating system says; only around this package's own file calls."""
    try:
        yield
    except OSError as error:
        raise of_system(error, path) from error


def of_sqlite(error: sqlite3.Error, path: Path) -> StoreError | None:
    """The error for one of SQLite's, or None when it is the program's own mistake."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    match code & _PRIMARY:
        case sqlite3.SQLITE_FULL:
            return _full(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            return _read_only(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return _locked(path)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return corrupt(path, str(error))
        case sqlite3.SQLITE_IOERR:
            return _full(path) if _disk_is_full(path) else _broken_disk(path, error)
    return None


def of_system(error: OSError, path: Path) -> StoreError:
    if error.errno in _OS_FULL:
        return _full(path)
    if error.errno in _OS_READ_ONLY:
        return _read_only(path)
    return _broken_disk(path, error)


def corrupt(path: Path, detail: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"The database {path.name} is damaged or not a database ({detail}).",
        f"Move {path.name} away together with its -wal and -shm files, then put back a backup "
        f"({path.name}.v*.bak or your own). Without one, a new empty database is made.",
    )


def _full(path: Path) -> StoreFull:
    return StoreFull(
        f"{path.name} cannot grow: the disk, the quota or a file size limit is reached.",
        "Free some space and try again. What was stored before is intact.",
    )


def _read_only(path: Path) -> StoreReadOnly:
    return StoreReadOnly(
        f"{path.name} cannot be written in this folder.",
        "Check that the data folder exists on a writable disk and belongs to this user.",
    )


def _locked(path: Path) -> StoreLocked:
    return StoreLocked(
        f"{path.name} is locked by another process.",
        "Stop the other program that uses this data folder, or choose another folder.",
    )


def _broken_disk(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path.name} could not be read or written: {error}.",
        "Check the disk, the quota and file size limits. What was stored before is intact.",
    )


def _disk_is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _NEARLY_FULL_BYTES
    except OSError:
        return False
