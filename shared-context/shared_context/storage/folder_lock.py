"""One process per folder."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from shared_context.errors import StoreLocked
from shared_context.storage.file_identity import FileIdentity
from shared_context.storage.sqlite_errors import translated_system

LOCK_FILE = "lock"
POLL_S = 0.02


class FolderLock:
    """Holds a folder for this process, from construction until `release`.

    The system frees it when the process dies, however it dies; the file itself stays.

    Args:
        folder: created when missing.
        wait_s: how long to wait for another process to let go of it.

    Raises:
        StoreLocked: another process holds it.
        StoreReadOnly, StoreFull: the lock file cannot be made.
    """

    def __init__(self, folder: Path, *, wait_s: float = 0.0) -> None:
        with translated_system(folder / LOCK_FILE):
            folder.mkdir(parents=True, exist_ok=True)
            # Not bound to a thread: whoever releases it may be another than who took it.
            self._lock = FileLock(folder / LOCK_FILE, thread_local=False)
            self._folder = FileIdentity(folder)
            self._taking = threading.Lock()
            self._take(wait_s)

    def check(self) -> None:
        """Whether it is still the folder that was locked, and locked. A lock file that was deleted in it is
        made again.

        Raises:
            StoreGone: the folder was deleted, unmounted or replaced.
            StoreLocked: another process has locked it since.
        """
        self._folder.check()
        with self._taking:
            if not self._file.is_there:
                self._take_again()

    def _take_again(self) -> None:
        former, self._lock = self._lock, FileLock(self._lock.lock_file, thread_local=False)
        try:
            with translated_system(Path(self._lock.lock_file)):
                self._take(0.0)
        except BaseException:
            self._lock = former
            raise
        former.release()

    def _take(self, wait_s: float) -> None:
        path = Path(self._lock.lock_file)
        try:
            self._lock.acquire(timeout=wait_s, poll_interval=POLL_S)
        except Timeout:
            raise StoreLocked(
                f"The folder {str(path.parent)!r} is in use by another process.",
                "Stop the other program, or use another data folder.",
            ) from None
        self._file = FileIdentity(path)

    def release(self) -> None:
        """Idempotent."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
