"""The documents in memory's own keeping: shared lines, stored durably, every version recorded.

Knows nothing of the files on disk, except to store what was seen of them together with the
change it led to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shared_context.documents.conflicts import (
    UNKNOWN,
    HunkConflict,
    LineIds,
    find_conflicts,
    repeated_entries,
    repeated_sides,
)
from shared_context.documents.crdt import SharedLines
from shared_context.documents.deleted_lines import disputed_hunks
from shared_context.documents.document_database import DocumentDatabase, StoredVersion
from shared_context.documents.document_names import is_log
from shared_context.documents.history import GitHistory, text_version
from shared_context.documents.line import Line
from shared_context.documents.line_diff import LineChange, changed_lines, join_lines, split_lines
from shared_context.errors import StoreError
from shared_context.storage.identity import new_id, now

log = logging.getLogger(__name__)

Step = Callable[[str], None]
"""Called with the name of a durable step when it is done."""


@dataclass(frozen=True, slots=True)
class DocumentState:
    """A document at one moment; `version` is the whole id, `at` ISO 8601 UTC."""

    text: str
    version: str
    author: str
    at: str
    conflicts: int


class VersionedLines:
    """All documents. Used by one thread at a time.

    A change is stored in SQLite first (step `change-stored`), then committed to the history
    (`history-written`, `history-moved`, `history-recorded`). What a crash or a full disk left out
    of the history is committed at the next change or start.
    """

    def __init__(self, state: Path, step: Step) -> None:
        self._step = step
        self._database = DocumentDatabase(state / "documents.db")
        self.history_problem: str | None = None
        try:
            self._history = GitHistory(state / "history.git")
        except BaseException:
            self._database.close()
            raise
        self._states: dict[str, DocumentState] = {}
        self._lines = self._load()
        self._waiting = self._database.waiting()
        self.record_history()

    @property
    def history(self) -> GitHistory:
        return self._history

    def paths(self) -> list[str]:
        return self._lines.paths()

    def texts(self, path: str) -> list[str]:
        return self._lines.texts(path)

    def state(self, path: str) -> DocumentState | None:
        """None when the document was never written."""
        if path not in self._states:
            last = self._database.versions(path, 1)
            if not last:
                return None
            text = join_lines(self._lines.texts(path))
            self._states[path] = DocumentState(
                text, last[0].version, last[0].author, last[0].at, len(self.conflicts(path))
            )
        return self._states[path]

    @property
    def client(self) -> int:
        """The id under which this process writes."""
        return self._lines.client

    def ids(self, path: str, indexes: Sequence[int]) -> list[tuple[int, int]]:
        """See `SharedLines.ids`."""
        return self._lines.ids(path, indexes)

    def conflicts(self, path: str) -> list[HunkConflict]:
        return find_conflicts(self._lines.lines(path), self._ids(path))

    def seen(self, path: str) -> bytes | None:
        return self._database.seen(path)

    def see(self, path: str, content: bytes) -> None:
        """The file at this path holds this now."""
        self._database.see(path, content)

    def has_entry(self, path: str, entry_id: str) -> bool:
        return self._database.has_entry(path, entry_id)

    def change(
        self,
        path: str,
        changes: Sequence[LineChange],
        *,
        author: str,
        summary: str | None = None,
        seen: Mapping[str, bytes] | None = None,
        entry_id: str | None = None,
    ) -> None:
        """Change a document, durably. On an error nothing is changed.

        Raises:
            StoreError: it could not be stored.
        """
        entry = None if entry_id is None else (path, entry_id)
        try:
            update = self._lines.change(path, changes, author)
            self._store([update], {path}, author, summary, seen=seen, entry=entry)
        except BaseException:
            self._lines = self._load()
            raise

    def receive(self, update: bytes, author: str, *, tidy: bool = True) -> set[str]:
        """Take in another replica's update; returns the documents whose text changed.

        Args:
            tidy: take out what several replicas wrote alike.

        Raises:
            DocumentRejected: see `SharedLines.receive`. StoreError: it could not be stored.
        """
        before = self._lines.state_vector(), self._lines.update_since(self._lines.state_vector())
        lines = {path: self._lines.lines(path) for path in self._lines.paths()} if tidy else {}
        touched = self._lines.receive(update)
        try:
            after = self._lines.state_vector(), self._lines.update_since(self._lines.state_vector())
            if before == after:
                return set()
            tidied: list[bytes] = []
            if tidy:
                for path in sorted(touched):
                    tidied += [self._tidy(path), self._mark_disputed(path, lines.get(path, []), before[1])]
            return self._store([update, *tidied], touched, author, None)
        except BaseException:
            # Whatever half of it was taken in is not in the database.
            self._lines = self._load()
            raise

    def state_vector(self) -> bytes:
        return self._lines.state_vector()

    def update_since(self, vector: bytes | None) -> bytes:
        return self._lines.update_since(vector)

    def versions(self, path: str, limit: int) -> list[StoredVersion]:
        return self._database.versions(path, limit)

    def text_at(self, path: str, version: str) -> str | None:
        """The text of a version of this document, named by its first 7 to 40 digits."""
        if not 7 <= len(version) <= 40 or set(version) - set("0123456789abcdef"):
            return None
        stored = self._database.version(path, version)
        if stored is None:
            return None
        return stored.text if stored.text is not None else self._history.text(stored.version)

    def record_history(self) -> None:
        """Commit what waits. A failure is kept in `history_problem` and logged, not raised:
        the versions are safe in the database."""
        while self._waiting:
            version = self._waiting[0]
            try:
                self._history.commit(
                    version.path,
                    (version.text or "").encode("utf-8"),
                    author=version.author,
                    at=datetime.fromisoformat(version.at).timestamp(),
                    summary=version.summary,
                    change_id=version.change_id,
                    step=self._step,
                )
                self._database.recorded(version.change_id)
            except Exception as error:  # the git library has errors of many kinds, not all of them its own
                self.history_problem = f"The history could not be written: {error}. It will be tried again."
                log.warning("%s", self.history_problem, exc_info=not isinstance(error, (OSError, StoreError)))
                self._history.clear_locks()
                return
            self._step("history-recorded")
            del self._waiting[0]
        self.history_problem = None

    def close(self) -> None:
        self._lines.close()
        self._history.close()
        self._database.close()

    def scrub(self) -> None:
        """Nothing of the lines deleted so far is left in the updates; the history keeps every version."""
        self._database.compact(lambda: self._lines.update_since(None), after=1)
        self._database.scrub()

    def rewrite_history(self, clean: Callable[[str], str]) -> int:
        """Pass every version of every document through `clean`; how many changed.

        Raises:
            StoreError.
        """
        self.record_history()
        changed = self.history.rewrite(lambda content: clean(content.decode("utf-8")).encode("utf-8"))
        self._database.rename_versions(changed)
        self._states.clear()
        self.scrub()
        return len(changed)

    def _store(
        self,
        updates: Sequence[bytes],
        touched: Iterable[str],
        author: str,
        summary: str | None,
        *,
        seen: Mapping[str, bytes] | None = None,
        entry: tuple[str, str] | None = None,
    ) -> set[str]:
        versions = [self._next_version(path, author, summary) for path in sorted(touched)]
        changed = [version for version in versions if version is not None]
        self._database.add_change(updates, changed, seen=seen, entry=entry)
        self._step("change-stored")
        self._waiting += changed
        for path in touched:
            self._states.pop(path, None)
        self._compact()
        return {version.path for version in changed}

    def _compact(self) -> None:
        try:
            self._database.compact(lambda: self._lines.update_since(None))
        except StoreError as error:
            # The change itself is stored; merging updates only saves space.
            log.warning("The documents' updates could not be merged into one: %s", error.message)

    def _next_version(self, path: str, author: str, summary: str | None) -> StoredVersion | None:
        before = self.state(path)
        lines = self._lines.texts(path)
        text = join_lines(lines)
        version = text_version(text)
        if before is not None and before.version == version:
            return None
        old = split_lines(before.text) if before is not None else None
        summary = summary or f"{path}: {_summary(old, lines)}"
        return StoredVersion(path, version, author, now(), summary, new_id(), text)

    def _tidy(self, path: str) -> bytes:
        """Take out what several replicas wrote alike at the same place."""
        ids = self._ids(path)
        lines = self._lines.lines(path)
        repeated = set(repeated_sides(find_conflicts(lines, ids), ids))
        if is_log(path):
            repeated.update(repeated_entries(lines, ids))
        return self._lines.delete(path, sorted(repeated)) if repeated else b""

    def _mark_disputed(self, path: str, before: Sequence[Line], own_update: bytes) -> bytes:
        """Say of edits that have come what they stand for had been deleted here."""
        in_conflict = {index for conflict in self.conflicts(path) for index in conflict.indexes}
        changes = disputed_hunks(before, own_update, self._lines.lines(path), in_conflict)
        return self._lines.change(path, changes, UNKNOWN) if changes else b""

    def _ids(self, path: str) -> LineIds:
        lines = self._lines
        return lambda indexes: lines.ids(path, indexes)

    def _load(self) -> SharedLines:
        if hasattr(self, "_lines"):
            self._lines.close()
        lines = SharedLines()
        for update in self._database.updates():
            lines.load(update)
        self._states.clear()
        return lines


def _summary(old: Sequence[str] | None, new: Sequence[str]) -> str:
    if old is None:
        return "first version"
    changes = changed_lines(old, new)
    added = sum(len(change.lines) for change in changes)
    removed = sum(change.stop - change.start for change in changes)
    parts = [f"{added} added" if added else "", f"{removed} removed" if removed else ""]
    return f"lines {' and '.join(part for part in parts if part)}"
