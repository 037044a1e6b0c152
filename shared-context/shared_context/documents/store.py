"""The documents on disk and in memory, kept the same.

A change from above goes into memory first, then into the file, then into the history. A change
found on disk is the difference to what was last seen there, and goes the same way. Each step is
durable before the next begins, and a start after a crash at any of them goes on from there:

    change-stored      shared lines, version and what was seen of the file, in one transaction
    file-prepared      the new content is beside the file
    file-replaced      the two have changed places
    file-seen          what the file holds now is stored
    history-written    the commit's objects are in the repository
    history-moved      the branch points to the commit
    history-recorded   the version no longer waits for the history
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from shared_context.documents.document_names import is_archive
from shared_context.documents.line_diff import LineChange, split_lines
from shared_context.documents.mirrored_file import FolderContext, MirroredFile
from shared_context.documents.starters import starter_text
from shared_context.documents.unrelated_histories import UnrelatedHistories
from shared_context.documents.versioned_lines import VersionedLines
from shared_context.errors import StoreError
from shared_context.storage.folder_lock import FolderLock
from shared_context.storage.identity import now
from shared_context.storage.sqlite_errors import translated_system

log = logging.getLogger(__name__)

STEPS = (
    "change-stored",
    "file-prepared",
    "file-replaced",
    "file-seen",
    "history-written",
    "history-moved",
    "history-recorded",
)

_JOINED = (
    "{} had no past in common with the copy of another device. They were joined: lines that both had are "
    "there once, all others were kept."
)

NOTICES = 20
"""Notices kept for `problems`; older ones are only in the log."""


class DocumentStore:
    """All documents of a context folder. Safe to use from any thread.

    Args:
        folder: the context folder.
        state: this memory's own folder; one process at a time.
        author: who made the changes found on disk.
        step: called with each name of `STEPS` when that step is durable; for tests that
            crash there.
        wait_s: how long to wait for another process to let go of the state.

    Raises:
        StoreLocked: another process, or another instance in this one, has the state open.
        StoreError: the state cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        state: Path,
        author: str,
        step: Callable[[str], None] = lambda _: None,
        *,
        wait_s: float = 0.0,
    ) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self._files: dict[str, MirroredFile] = {}
        self._notices: deque[str] = deque(maxlen=NOTICES)
        self._changed: set[str] = set()
        self._listener: Callable[[], None] = lambda: None
        self._find: Callable[[], Iterable[str]] = tuple
        with translated_system(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._process_lock = FolderLock(state, wait_s=wait_s)
        try:
            self.memory = VersionedLines(state, step)
        except BaseException:
            self._process_lock.release()
            raise
        self._author = author
        self._unrelated = UnrelatedHistories(self.memory, _starter_lines)
        self._around = FolderContext(folder, self.memory, author, step, self._changed_on_disk, self._notice)
        if self.memory.history.moved_aside is not None:
            name = self.memory.history.moved_aside.name
            self._notice(f"The history could not be read; it was moved to {name} and a new one begun.")
        self._packing = self._start_packing()

    def track(self, path: str, starter: str | None = None) -> None:
        """Keep this document on disk from now on.

        The first time, what is on disk is taken in, or the starter written when there is nothing.
        """
        with self.lock:
            if path in self._files:
                return
            file = self._files[path] = MirroredFile(path, self._around, starter)
            file.begin()
            self._record_history()

    def refresh(self, paths: Iterable[str]) -> None:
        """Take in what changed on disk, and put right what is missing there. A `stat` for each
        file that did not change."""
        with self.lock:
            for path in paths:
                self._files[path].look()
            if self._changed:
                self._record_history()
        self._tell()

    def paths(self) -> list[str]:
        """Of the documents that are kept on disk."""
        with self.lock:
            return sorted(self._files)

    def refresh_all(self) -> None:
        """`refresh` for every document that is kept on disk, and begin to keep those that were found."""
        with self.lock:
            for path in self._find():
                if path not in self._files:
                    self._track_found(path)
            self.refresh(list(self._files))

    def look_for_more(self, find: Callable[[], Iterable[str]]) -> None:
        """Have `refresh_all` keep the documents that `find` names as well."""
        self._find = find

    def change(
        self, path: str, changes: Sequence[LineChange], *, author: str, summary: str | None = None,
        entry_id: str | None = None,
    ) -> None:  # fmt: skip
        """Change a document in memory, on disk and in the history.

        When this returns the change is durable in memory. Disk and history follow at once, or,
        when they cannot be written, as soon as they can (see `problems`).

        Raises:
            StoreError: nothing was changed.
        """
        with self.lock:
            self.memory.change(path, changes, author=author, summary=summary, entry_id=entry_id)
            self._changed.add(path)
            self._files[path].write()
            self._record_history()
        self._tell()

    def meet(self, vector: bytes) -> None:
        """Learn of another replica's state before its update is received; see `UnrelatedHistories`."""
        with self.lock:
            self.refresh_all()
            self._unrelated.begin(vector)
            self._write_received(self._join())
        self._tell()

    def receive(self, update: bytes, author: str) -> set[str]:
        """Take in another replica's update; returns the documents whose text changed."""
        with self.lock:
            self.refresh_all()
            changed = self.memory.receive(update, author, tidy=not self._unrelated.pending)
            changed |= self._join()
            self._write_received(changed)
        self._tell()
        return changed

    def trouble(self, path: str) -> str | None:
        """Why the document's file is left alone, as the end of a sentence; None when it is not."""
        return self._files[path].trouble

    def unsettled(self) -> bool:
        """Whether a file should be looked at again soon, even if nothing tells of a change."""
        with self.lock:
            return any(file.unsettled for file in self._files.values())

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this, from any thread, when `take_changed` has something new."""
        self._listener = listener

    def take_changed(self) -> set[str]:
        """The documents that changed since the last call."""
        with self.lock:
            changed, self._changed = self._changed, set()
            return changed

    def problems(self) -> list[str]:
        with self.lock:
            troubles = [f"{file.path} {file.trouble}." for file in self._files.values() if file.trouble]
            history = self.memory.history_problem
            return [*troubles, *([history] if history else []), *self._notices]

    def close(self) -> None:
        self._packing.join()
        with self.lock:
            try:
                for file in self._files.values():
                    file.look_at_former(at_once=True)
            finally:
                for file in self._files.values():
                    file.let_go()
                self.memory.close()
                self._process_lock.release()

    def _join(self) -> set[str]:
        joined = self._unrelated.end(self._author)
        if joined:
            self._notice(_JOINED.format(", ".join(sorted(joined))))
        return joined

    def _write_received(self, changed: Iterable[str]) -> None:
        for path in sorted(changed):
            self._changed.add(path)
            self.track(path)
            self._files[path].write()
        self._record_history()

    def _track_found(self, path: str) -> None:
        try:
            self.track(path)
        except (StoreError, OSError) as error:
            file = self._files.pop(path, None)
            if file is not None:
                file.let_go()
            self._notice(f"{path} could not be taken in: {error}. It will be tried again.")
        else:
            self._changed.add(path)

    def _changed_on_disk(self, path: str) -> None:
        self._changed.add(path)

    def _notice(self, notice: str) -> None:
        log.warning("%s", notice)
        if not any(notice in known for known in self._notices):
            self._notices.append(f"{now()[:19]}Z: {notice}")

    def _tell(self) -> None:
        if self._changed:
            self._listener()

    def _record_history(self) -> None:
        self.memory.record_history()
        if self.memory.history.is_loose and not self._packing.is_alive():
            self._packing = self._start_packing()

    def _start_packing(self) -> threading.Thread:
        thread = threading.Thread(target=self._pack, name="history-pack", daemon=True)
        thread.start()
        return thread

    def _pack(self) -> None:
        try:
            self.memory.history.pack_when_loose()
        except Exception:
            log.exception("The history could not be packed; it only takes more space.")


def _starter_lines(path: str) -> list[str]:
    name = path.rpartition("/")[2]
    return [] if is_archive(name) else split_lines(starter_text(name))
