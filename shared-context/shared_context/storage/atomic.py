"""Putting a file in place in one step, without losing what another program wrote meanwhile.

Where the system can exchange two names (Linux), the file that was there is kept until the caller
has seen its content, so no save of an editor can fall between a check and the replacement.
Elsewhere that gap is some microseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_SUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def temporary_path(path: Path) -> Path:
    """Where the content is written first: the same folder, hidden, one per file."""
    return path.with_name(f".{path.name}.orchestrator-new")


def replace_file(
    path: Path, content: bytes, expected: bytes | None, step: Callable[[str], None] = lambda _: None
) -> bool:
    """Make `content` the file's content, durable on return; mode and attributes stay.

    Args:
        path: the file; its folder must exist.
        expected: what the caller believes the file holds now; None: there is no file.
        step: called with the name of each durable step when it is done.

    Returns:
        Whether the file held what was expected. What it held is in `left_over` until the caller
        has merged it, where that is needed, and calls `clear_left_over`.

    Raises:
        OSError: nothing changed.
    """
    temporary = temporary_path(path)
    try:
        _write(temporary, content, like=path)
        step("file-prepared")
        had_one = _put_in_place(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    step("file-replaced")
    sync_folder(path.parent)
    return not had_one or _content(temporary) in (expected, content)


def write_whole(path: Path, text: str) -> None:
    """Make `text` the file's content, durable and in one step, whatever it held: for files that only we write.

    Raises:
        OSError: nothing changed.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def left_over(path: Path) -> Path | None:
    """The file that `replace_file` displaced, or had prepared, and that was not cleared since."""
    temporary = temporary_path(path)
    return temporary if temporary.is_file() else None


class FormerFile:
    """A file that has lost its name, kept open for programs that still have it open too.

    A program that opened the document just before it was replaced writes here, not there.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        self.content = content
        self.since = time.monotonic()
        self._file = path.open("rb")

    def late_content(self) -> bytes | None:
        """What was written after it lost its name; None when nothing was."""
        self._file.seek(0)
        now = self._file.read()
        return None if now == self.content else now

    def close(self) -> None:
        self._file.close()


def clear_left_over(path: Path) -> None:
    """What was left over is merged, or of no worth."""
    temporary_path(path).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; where that is not possible, nothing."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write(temporary: Path, content: bytes, like: Path) -> None:
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
        file.write(content)
        if like.exists():
            shutil.copystat(like, temporary)
            os.utime(temporary)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(temporary: Path, path: Path) -> bool:
    """After this the new content is at `path`; whether the old one is at `temporary`."""
    for _ in range(3):
        try:
            if exchange(temporary, path):
                return True
            displaced = path.read_bytes()
        except FileNotFoundError:
            if _link(temporary, path):
                return False
            continue
        temporary.replace(path)
        temporary.write_bytes(displaced)
        return True
    temporary.replace(path)
    return False


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _link(temporary: Path, path: Path) -> bool:
    """Give the new file its name unless somebody just took it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:
        temporary.replace(path)
        return True
    temporary.unlink()
    return True


def exchange(one: Path, other: Path) -> bool:
    """Swap two files or folders by name in one step; False where the system or disk cannot.

    Raises:
        FileNotFoundError: one of them does not exist.
    """
    if _renameat2 is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    if _renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _find_renameat2() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return function if function is None else _typed(function)


def _typed(function: ctypes._NamedFuncPointer) -> Callable[..., int]:
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    function.restype = ctypes.c_int
    return function


_renameat2 = _find_renameat2()
