"""Disk space held back in the data folder, so that a server can start on a full disk.

SQLite needs some to open a file that it only reads, and so do locks and logs. A server calls `prepare` first of
all: on a full disk the reserve makes way, and comes back when there is room again.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

FILE_NAME = "reserve"
SIZE = 2 * 1024**2
"""Several databases at 32 KiB of shared memory each, their first pages of write-ahead log, a lock and log lines."""
ROOM = 4 * SIZE
"""Free bytes from which on the reserve is taken."""

_log = logging.getLogger(__name__)


def prepare(data: Path) -> None:
    """Take or give back the reserve, by what is free on the disk of `data`. Raises nothing: a folder that
    cannot be used is told by whoever opens it."""
    reserve = data / FILE_NAME
    try:
        free = shutil.disk_usage(data).free
        if free < SIZE and reserve.exists():
            reserve.unlink()
            _log.error("The disk of %s is full: reading works, little can be stored. Free some space.", data)
        elif free >= ROOM and not reserve.exists():
            _take(reserve)
    except OSError as error:
        _log.debug("No reserve in %s: %s", data, error)


def _take(reserve: Path) -> None:
    partial = reserve.with_name(f".{FILE_NAME}")
    try:
        with partial.open("wb") as file:
            # Not zeros, which some file systems store as a hole.
            file.write(os.urandom(SIZE))
        partial.replace(reserve)
    finally:
        partial.unlink(missing_ok=True)
