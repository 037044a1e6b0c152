"""One process per data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from shared_context.errors import StoreLocked
from shared_context.sqlite_errors import translated_system

LOCK_FILE = "lock"


class FolderLock:
    """Holds a data folder for this process, from construction until `release`.

    The system frees it when the process dies, however it dies; the file itself stays.

    Args:
        folder: the data folder; created when missing.

    Raises:
        StoreLocked: another process holds it.
        StoreReadOnly, StoreFull: the lock file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        with translated_system(folder / LOCK_FILE):
            folder.mkdir(parents=True, exist_ok=True)
            # Whichever thread closes the server must be able to release it.
            self._lock = FileLock(folder / LOCK_FILE, thread_local=False)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise StoreLocked(
                    f"The data folder {str(folder)!r} is in use by another server.",
                    "Stop that server, or start this one with another data folder.",
                ) from None

    def release(self) -> None:
        """Idempotent."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
