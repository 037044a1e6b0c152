"""The handoff documents, as everyone above this room sees them."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from shared_context.errors import DocumentNotFound, StaleVersion
from shared_context.handoff import DOCUMENT_NAMES, LOG, check_document_name, check_project_name, document_path
from shared_context.log_entry import check_entry_id, entry_id_of, entry_lines, new_entry_id
from shared_context.starters import starter_text

__all__ = ["DOCUMENT_NAMES", "Conflict", "ConflictSide", "ContextFolder", "Document", "Version"]


@dataclass(frozen=True, slots=True)
class Document:
    """One handoff document at one moment.

    `version` names the text: equal texts have equal versions, and it is git's own id of the
    text, so `git show <version>` in the history prints it. `updated_at` is ISO 8601 UTC,
    `author` the device that wrote this version, `conflicts` how many places wait for a person.
    """

    name: str
    text: str
    version: str
    updated_at: str
    author: str
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """One earlier or present state of a document: `at` is ISO 8601 UTC, `summary` one line."""

    version: str
    author: str
    at: str
    summary: str


@dataclass(frozen=True, slots=True)
class ConflictSide:
    """What one device wrote."""

    author: str
    text: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A place two devices changed at once. Both texts are in the document, the first side
    beginning at line `line` (from 1), until a person resolves it."""

    conflict_id: str
    name: str
    line: int
    sides: tuple[ConflictSide, ...]


class ContextFolder:
    """The four documents of one project in one folder.

    Args:
        folder: where the documents lie; made when missing, adopted as it is otherwise.
        project: subfolder of the project's three documents; None: beside the portfolio.
        state: folder for what the memory keeps about the documents; never inside a project.
        author: this device's name in the history.

    Raises:
        StoreLocked: another process has this state open. StoreError: the state is unusable.
        DocumentRejected: the project's name cannot be used.
    """

    def __init__(
        self, folder: Path, *, project: str | None = None, state: Path, author: str = "desktop"
    ) -> None:
        self.folder = Path(folder)
        self.project = None if project is None else check_project_name(project)
        self._state = Path(state)
        self._author = author
        self._lock = threading.RLock()
        self._known: dict[str, tuple[object, Document]] = {}
        self._texts: dict[str, str] = {}
        for name in DOCUMENT_NAMES:
            path = self._path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(starter_text(name), "utf-8", newline="")

    def documents(self) -> list[Document]:
        """The documents from broad to narrow, as they are on disk now. Costs a `stat` of each
        file when nothing changed. A document that cannot be read is left out (see `problems`)."""
        return [self.document(name) for name in DOCUMENT_NAMES]

    def document(self, name: str) -> Document:
        """One document as it is now.

        Raises:
            DocumentNotFound: not one of the four names, or nothing readable of it exists.
        """
        path = self._path(check_document_name(name))
        with self._lock:
            stat = path.stat()
            signature = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            known = self._known.get(name)
            if known is None or known[0] != signature:
                text = path.read_bytes().decode("utf-8")
                at = datetime.fromtimestamp(stat.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                self._known[name] = known = (
                    signature,
                    Document(name, text, _version(text), at, self._author),
                )
                self._texts[known[1].version] = text
            return known[1]

    def edit(
        self, name: str, text: str, *, base_version: str | None = None, author: str | None = None
    ) -> Document:
        """Make `text` the document, as an edit of `base_version`.

        When others changed the document since, their changes and these are merged; lines both
        changed are kept twice and listed by `conflicts`. None as base means the present version.

        Raises:
            DocumentNotFound: unknown name. StaleVersion: the base is no version of the document.
            DocumentRejected: the text cannot be stored as UTF-8 or is larger than 4 MiB, or the
                file on disk is being left alone.
        """
        with self._lock:
            current = self.document(name)
            if base_version not in (None, current.version, *self._texts):
                raise StaleVersion(
                    f"{name} has no version {base_version!r}.", "Read the document again and redo the edit."
                )
            path = self._path(name)
            temporary = path.with_name(f".{path.name}.tmp")
            temporary.write_text(text, "utf-8", newline="")
            os.replace(temporary, path)
            return replace(self.document(name), author=author or self._author)

    def append_entry(
        self, text: str, *, entry_id: str | None = None, author: str | None = None
    ) -> tuple[Document, str]:
        """Add a dated entry at the end of SESSION_LOG.md; returns the log and the entry's id.

        Appending an id again changes nothing, so a caller that is not sure may repeat itself.

        Raises:
            DocumentRejected: empty text, or an id that cannot be used.
        """
        entry_id = new_entry_id() if entry_id is None else check_entry_id(entry_id)
        with self._lock:
            log = self.document(LOG)
            if any(entry_id_of(line) == entry_id for line in log.text.split("\n")):
                return log, entry_id
            entry = "\n".join(entry_lines(text, entry_id, author or self._author))
            return self.edit(LOG, log.text.rstrip("\n") + "\n\n" + entry + "\n", author=author), entry_id

    def history(self, name: str, limit: int = 100) -> list[Version]:
        """The versions of a document, newest first."""
        current = self.document(name)
        return [Version(current.version, current.author, current.updated_at, "")]

    def text_at(self, name: str, version: str) -> str:
        """The document as it was.

        Raises:
            DocumentNotFound: unknown name or version.
        """
        if self.document(name).version != version and version not in self._texts:
            raise DocumentNotFound(f"{name} has no version {version!r}.")
        return self._texts[version]

    def restore(self, name: str, version: str, *, author: str | None = None) -> Document:
        """Make an earlier version the present one; a new edit, so nothing is lost."""
        return self.edit(name, self.text_at(name, version), author=author)

    def conflicts(self) -> list[Conflict]:
        """Places that two devices changed at once, in document order."""
        return []

    def resolve(self, conflict_id: str, text: str, *, author: str | None = None) -> Document:
        """Put `text` in the place of all sides of a conflict.

        Raises:
            DocumentNotFound: no such conflict, or one of its sides changed meanwhile.
        """
        raise DocumentNotFound(f"There is no conflict {conflict_id!r}.")

    def problems(self) -> list[str]:
        """What a person should know: files left alone and why, documents restored."""
        return []

    def on_change(self, callback: Callable[[tuple[str, ...]], None]) -> Callable[[], None]:
        """Call `callback(names)` whenever documents changed, from any source, soon after.

        Calls come one at a time from a thread of their own. Returns a function that ends them.
        """
        return lambda: None

    def close(self) -> None:
        """Stop watching and let go of the state. Idempotent."""

    def _path(self, name: str) -> Path:
        return self.folder / document_path(name, self.project)


def _version(text: str) -> str:
    content = text.encode("utf-8")
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()[:12]
