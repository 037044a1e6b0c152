"""Whether a path still leads to the file that was opened through it.

An open file goes on working after it was deleted, unmounted or replaced: what is written to it then is lost.
"""

from __future__ import annotations

from pathlib import Path

from shared_context.errors import StoreGone
from shared_context.storage.sqlite_errors import translated_system


class FileIdentity:
    """The file at this path at this moment.

    Raises:
        StoreError: there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with translated_system(path):
            self._identity = _identity(path)

    @property
    def is_there(self) -> bool:
        try:
            return _identity(self._path) == self._identity
        except OSError:
            return False

    def check(self) -> None:
        """
        Raises:
            StoreGone: the path leads to another file now, or to none.
        """
        if not self.is_there:
            raise StoreGone(
                f"{str(self._path)!r} was deleted, moved or replaced while it was in use; nothing is accepted,"
                " because it would be lost.",
                "Put the data folder back where it was (mount its disk again), or restart the program to begin"
                " with what is there now.",
            )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
