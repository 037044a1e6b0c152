"""Reading a handoff document from disk: only whole, settled, plain UTF-8 files.

Covered: files being written right now, links out of the folder, devices, other encodings,
oversize. Not covered: what the text says.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from shared_context.documents.document_names import MAX_DOCUMENT_BYTES, MAX_DOCUMENT_LINES

SETTLED_S = 0.03
"""A file untouched for so long is taken as written. Programs that truncate a file and write
it anew do so within a millisecond or two."""

EMPTY_SETTLED_S = 0.3
"""An empty file is more likely half a save than a wish."""

PATIENCE_S = 2.0
"""A file that never settles (a program appends all the time) is read as it is after this."""

TRUSTED_S = 0.1
"""Timestamps tick up to every 10 ms: a file changed so recently could change again unnoticed."""


class Signature(NamedTuple):
    """What changes when a file does; comparing it costs one system call."""

    modified_ns: int
    changed_ns: int
    size: int
    inode: int


@dataclass(frozen=True, slots=True)
class FileReading:
    """A file's content at one moment.

    `signature` is None while the file may change without its signature changing. `content` is
    None when the file is left alone for the reason in `trouble`; both None: there is no file.
    """

    content: bytes | None
    signature: Signature | None
    trouble: str | None = None


def signature_of(path: Path) -> Signature | None:
    """The file's signature now; None when there is none."""
    try:
        return _signature(path.stat())
    except (OSError, ValueError):
        return None


def read_document(path: Path, folder: Path, known: bytes | None) -> FileReading:
    """The file's content once it is settled. Waits for at most `PATIENCE_S`, and not at all
    when the content is what is `known` already."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        reading, wait_s = _read(path, folder)
        if wait_s <= 0 or (reading.content is not None and reading.content == known):
            return reading
        if time.monotonic() > deadline:
            return FileReading(reading.content, None, reading.trouble)
        time.sleep(wait_s)


def _read(path: Path, folder: Path) -> tuple[FileReading, float]:
    """A reading, and how many seconds the file still needs to be taken as settled."""
    try:
        before = path.stat()
        trouble = _trouble(path, folder, before)
        content = None if trouble else path.read_bytes()
        after = path.stat()
    except FileNotFoundError:
        trouble = "is a link to nothing" if path.is_symlink() else None
        return FileReading(None, None, trouble), 0.0
    except OSError as error:
        return FileReading(None, None, f"cannot be read: {error.strerror}"), 0.0
    if content is not None and not is_text(content):
        content, trouble = None, "is not UTF-8 text"
    if content is not None and content.count(b"\n") > MAX_DOCUMENT_LINES:
        content, trouble = None, f"has more than {MAX_DOCUMENT_LINES} lines"
    if _signature(before) != _signature(after):
        return FileReading(content, None, trouble), SETTLED_S
    age_s = time.time() - max(after.st_mtime, after.st_ctime)
    signature = _signature(after) if age_s > TRUSTED_S else None
    quiet_s = EMPTY_SETTLED_S if content == b"" else SETTLED_S
    # A clock set back makes files of the future; they are settled.
    wait_s = quiet_s - age_s if 0 <= age_s < quiet_s else 0.0
    return FileReading(content, signature, trouble), wait_s


def _trouble(path: Path, folder: Path, status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        return "is a link to a place outside the context folder"
    if status.st_size > MAX_DOCUMENT_BYTES:
        return f"is larger than {MAX_DOCUMENT_BYTES // 2**20} MiB"
    return None


def is_text(content: bytes) -> bool:
    """Whether it is UTF-8."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _signature(status: os.stat_result) -> Signature:
    return Signature(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
