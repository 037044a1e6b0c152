"""Files that nobody but their owner may read, whatever the folder and the umask allow."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

OF_DATABASE = ("", "-wal", "-shm")
"""Endings of the files that make up a database. SQLite gives the later ones the mode of the first."""


def make_private(path: Path) -> None:
    """Create the database's file where it is missing, and let nobody but its owner read it."""
    path.touch(mode=0o600)
    for file in (path.with_name(path.name + ending) for ending in OF_DATABASE):
        # Another user's file is as private as that user wants it.
        with suppress(FileNotFoundError, PermissionError):
            mode = file.stat().st_mode
            if mode & 0o077:
                file.chmod(mode & 0o700)


def read_or_make(path: Path, make: Callable[[], str]) -> tuple[str, bool]:
    """The text of a file that only its owner may read, made when there is none; and whether it was made now.

    Raises:
        OSError.
    """
    try:
        return path.read_text("utf-8"), False
    except FileNotFoundError:
        pass
    text = make()
    write_private(path, text)
    return text, True


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read: durable, and whole or not at all.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
