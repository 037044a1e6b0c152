"""The folder that holds everything one replica knows: private, and held by one process."""

from __future__ import annotations

import os
from pathlib import Path

from shared_context.errors import StoreLocked
from shared_context.storage.file_identity import FileIdentity
from shared_context.storage.folder_lock import FolderLock
from shared_context.storage.sqlite_errors import translated_system

PID_FILE = "lock.pid"


class DataFolder:
    """A data folder, held from construction until `release`.

    Args:
        path: created when missing, readable by its owner only.

    Raises:
        StoreLocked: another process holds it; the message names it.
        StoreReadOnly, StoreFull: the folder cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        with translated_system(self.path):
            if not self.path.is_dir():
                self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._databases: list[FileIdentity] = []
        try:
            self._lock = FolderLock(self.path)
        except StoreLocked as error:
            raise StoreLocked(
                f"The data folder {str(self.path)!r} is in use by {self._holder()}.",
                "Ask that server instead (its address is in server.json there), stop it, or use another"
                " data folder (ORCHESTRATOR_DATA).",
            ) from error
        try:
            with translated_system(self.path):
                (self.path / PID_FILE).write_text(f"{os.getpid()}\n")
        except BaseException:
            self._lock.release()
            raise

    @property
    def conversations(self) -> Path:
        return self.path / "memory.db"

    @property
    def runs(self) -> Path:
        return self.path / "runs.db"

    @property
    def search(self) -> Path:
        """Derived from the others: it may be deleted at any time."""
        return self.path / "search.db"

    @property
    def later(self) -> Path:
        """Questions that another tier shall answer again."""
        return self.path / "later.db"

    @property
    def context(self) -> Path:
        return self.path / "context"

    @property
    def context_state(self) -> Path:
        return self.path / "context-state"

    @property
    def documents(self) -> Path:
        return self.context_state / "documents.db"

    def watch(self) -> None:
        """All databases are open: `check` looks at them from now on."""
        databases = (self.conversations, self.runs, self.search, self.later, self.documents)
        self._databases = [FileIdentity(path) for path in databases if path.exists()]

    def check(self) -> None:
        """Whether everything is still where it was opened: nothing may be accepted that would be lost.

        Raises:
            StoreGone: the folder or a database was deleted, unmounted or replaced.
            StoreLocked: the folder's lock file was, and another process has locked it since.
        """
        self._lock.check()
        for database in self._databases:
            database.check()

    def release(self) -> None:
        """Idempotent."""
        self._lock.release()

    def _holder(self) -> str:
        try:
            return f"another server (process {int((self.path / PID_FILE).read_text())})"
        except (OSError, ValueError):
            return "another server"
