"""One process per folder."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from shared_context.errors import StoreLocked
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
            try:
                self._lock.acquire(timeout=wait_s, poll_interval=POLL_S)
            except Timeout:
                raise StoreLocked(
                    f"The folder {str(folder)!r} is in use by another process.",
                    "Stop the other program, or use another data folder.",
                ) from None

    def release(self) -> None:
        """Idempotent."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
