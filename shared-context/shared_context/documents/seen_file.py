"""What was last seen in a document's file: the base of whatever somebody saves there next.

A folder that vanishes (a disk is unmounted) and returns is no edit. So what was seen is remembered with the
folder it was seen in: while the disk is away its mount point is another folder, often an empty one.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

from shared_context.documents.history import text_version
from shared_context.documents.line_diff import changed_lines, split_lines
from shared_context.documents.versioned_lines import VersionedLines

UNREAD = 4
"""Contents of the file kept since somebody saved it: an editor may have read any of them."""


class SeenFile:
    """Used by one thread at a time.

    Args:
        path: of the document below the context folder; also its key in memory.
        place: of its file.
    """

    def __init__(self, path: str, place: Path, memory: VersionedLines) -> None:
        self._path = path
        self._place = place
        self._memory = memory
        self._content = memory.seen(path)
        self._folder = (memory.seen(self._folder_key) or b"").decode("ascii")
        self._unread: deque[bytes] = deque(maxlen=UNREAD)
        self._above = _identity(place.parent.parent)

    @property
    def content(self) -> bytes | None:
        """None: there was no file."""
        return self._content

    def is_away(self) -> bool:
        """Whether the disk with the file is: its folder is missing, and so is, or has changed, the folder
        above. A folder that was only deleted is made again."""
        if self._place.parent.is_dir():
            self._above = _identity(self._place.parent.parent)
            return False
        above = _identity(self._place.parent.parent)
        return not above or (bool(self._above) and above != self._above)

    def store(self, content: bytes) -> None:
        """The file was made to hold this."""
        if self._content != content:
            self._memory.see(self._path, content)
            if self._content is not None:
                self._unread.append(self._content)
            self._content = content

    def note(self, content: bytes | None) -> None:
        """Somebody made the file hold this, which is in memory already; None: it is gone."""
        self._content = content
        self._unread.clear()

    def base_of(self, saved: bytes) -> bytes | None:
        """What somebody saved was made from this content of the file: the last one, or, when the editor had
        not read that, the one it is nearest to. Only going back to an earlier one is an edit of the last."""
        least = _distance(self._content or b"", saved)
        base = self._content
        for content in self._unread:
            if 0 < (distance := _distance(content, saved)) < least:
                base, least = content, distance
        return base

    def arrive(self, on_disk: bytes | None) -> None:
        """Before the content on disk is judged: if it is in another folder than before, choose what was seen
        there.

        Raises:
            StoreError.
        """
        folder = _identity(self._place.parent)
        if not folder or folder == self._folder:
            return
        former = self._memory.seen(self._former_key) or b""
        former_folder, _, former_content = former.partition(b"\n")
        if self._folder and on_disk != self._content:
            self._remember_former()
            if former_folder.decode("ascii") == folder:
                self._content = former_content
            elif on_disk is None:
                self._content = None
            elif self._memory.text_at(self._path, text_version(on_disk.decode("utf-8"))) is not None:
                self._content = on_disk
        self._folder = folder
        self._memory.see(self._folder_key, folder.encode("ascii"))

    def _remember_former(self) -> None:
        if self._content is not None:
            self._memory.see(self._former_key, self._folder.encode("ascii") + b"\n" + self._content)

    @property
    def _folder_key(self) -> str:
        return f"{self._path}#folder"

    @property
    def _former_key(self) -> str:
        return f"{self._path}#former"


def _distance(one: bytes, other: bytes) -> int:
    """Lines in which the two differ."""
    changes = changed_lines(*(split_lines(content.decode("utf-8")) for content in (one, other)))
    return sum(len(change.lines) + change.stop - change.start for change in changes)


def _identity(folder: Path) -> str:
    """Of a folder; "" when there is none."""
    try:
        status = folder.stat()
    except OSError:
        return ""
    return f"{status.st_dev}.{status.st_ino}"
