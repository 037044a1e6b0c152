"""Files that nobody but their owner may read, whatever the folder and the umask allow."""

from __future__ import annotations

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
