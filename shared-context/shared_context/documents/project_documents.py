"""The four handoff documents of one project: read, edited, restored, their conflicts resolved."""

from __future__ import annotations

import logging
from collections.abc import Callable

from shared_context.documents.document import (
    VERSION_DIGITS,
    ConflictSide,
    Document,
    DocumentVersion,
    LineConflict,
)
from shared_context.documents.document_names import (
    LOG,
    MAX_DOCUMENT_BYTES,
    MAX_DOCUMENT_LINES,
    check_document_name,
    document_paths,
    is_archive,
    project_of,
)
from shared_context.documents.line_diff import (
    LineChange,
    apply_changes,
    join_lines,
    merge_edit,
    split_lines,
    unified_diff,
)
from shared_context.documents.log_entry import check_entry_id, entry_lines, find_entry, new_entry_id
from shared_context.documents.log_rollover import roll_over
from shared_context.documents.starters import starter_text
from shared_context.documents.store import DocumentStore
from shared_context.documents.text_style import block_at_end, in_style_of
from shared_context.errors import DocumentNotFound, DocumentRejected, StaleVersion, StoreError

log = logging.getLogger(__name__)


class ProjectDocuments:
    """Safe to use from any thread.

    Args:
        store: keeps them; closed by whoever opened it.
        project: None: the documents beside the portfolio.
        author: of changes that name nobody else.
        starters: fill documents that are not there.
    """

    def __init__(self, store: DocumentStore, project: str | None, author: str, starters: bool) -> None:
        self.folder = store.folder
        self.project = project
        self._store = store
        self._author = author
        self._starters = starters
        self._paths = document_paths(project)
        for name, path in self._paths.items():
            store.track(path, starter_text(name) if starters else None)

    def documents(self) -> list[Document]:
        """The documents from broad to narrow, as they are on disk now. Costs a `stat` of each
        file when nothing changed. A document that was never readable is left out; one that is
        left alone now is given as it was last (see `problems`)."""
        with self._store.lock:
            self._store.refresh(self._paths.values())
            present = (self._present(path) for path in self._paths.values())
            return [document for document in present if document is not None]

    def document(self, name: str) -> Document:
        """One document as it is now.

        Raises:
            DocumentNotFound: not one of the four names, or nothing readable of it exists.
        """
        path = self._path(name)
        with self._store.lock:
            self._store.refresh([path])
            document = self._present(path)
            if document is None:
                trouble = self._store.trouble(path) or "has no text yet"
                raise DocumentNotFound(f"{name} {trouble}.", "Mend the file, or write the document.")
            return document

    def edit(
        self,
        name: str,
        text: str,
        *,
        base_version: str | None = None,
        author: str | None = None,
        summary: str | None = None,
        edit_id: str | None = None,
    ) -> Document:
        """Make `text` the document, as an edit of `base_version`.

        When others changed the document since, their changes and these are merged; lines both
        changed are kept twice and listed by `conflicts`. None as base means the present version.
        Line endings are made those of the document. An edit with an id that this replica has made already
        changes nothing, so a caller that is not sure may repeat itself.

        Raises:
            DocumentNotFound: unknown name. StaleVersion: the base is no version of the document.
            DocumentRejected: the text cannot be stored as UTF-8 or is larger than 4 MiB, or the
                file on disk is being left alone. StoreError: nothing was changed.
        """
        path = self._path(name)
        with self._store.lock:
            if edit_id is not None and self._store.memory.has_entry(path, edit_id):
                return self._must_be(name)
            current = self._writable(name)
            base = self._base(name, base_version, current)
            mine = split_lines(in_style_of(current, text))
            changes = merge_edit(split_lines(base), mine, current)
            self._change(name, changes, author, summary, entry_id=edit_id)
            return self._must_be(name)

    def append_entry(
        self, text: str, *, entry_id: str | None = None, author: str | None = None
    ) -> tuple[Document, str]:
        """Add a dated entry at the end of SESSION_LOG.md; returns the log and the entry's id.

        Appending an id again changes nothing, so a caller that is not sure may repeat itself.

        Raises:
            DocumentRejected: empty or too large text, an id that cannot be used, or the log's file
                is being left alone. StoreError: nothing was changed.
        """
        entry_id = new_entry_id() if entry_id is None else check_entry_id(entry_id)
        block = entry_lines(text, entry_id, author or self._author)
        with self._store.lock:
            lines = self._writable(LOG)
            if not self._is_known(entry_id, lines):
                at, new = block_at_end(lines, block)
                summary = f"entry {entry_id}"
                self._change(LOG, [LineChange(at, at, tuple(new))], author, summary, entry_id=entry_id)
                if self._starters:
                    self._roll_over(self._paths[LOG])
            return self._must_be(LOG), entry_id

    def archives(self) -> list[Document]:
        """What the log's older entries moved to, oldest first; each can be read and edited by its name."""
        with self._store.lock:
            present = (self._present(path) for path in self._archive_paths())
            return [document for document in present if document is not None]

    def history(self, name: str, limit: int = 100) -> list[DocumentVersion]:
        """The versions of a document, newest first."""
        path = self._path(name)
        with self._store.lock:
            self._store.refresh([path])
            stored = self._store.memory.versions(path, limit)
        return [DocumentVersion(v.version[:VERSION_DIGITS], v.author, v.at, v.summary) for v in stored]

    def text_at(self, name: str, version: str) -> str:
        """The document as it was.

        Raises:
            DocumentNotFound: unknown name or version.
        """
        path = self._path(name)
        with self._store.lock:
            text = self._store.memory.text_at(path, version)
        if text is None:
            raise DocumentNotFound(f"{name} has no version {version[:80]!r}.", "Its history lists them.")
        return text

    def diff(self, name: str, old: str, new: str | None = None) -> str:
        """Unified diff of two versions; `new` None: against the present one. Raises as `text_at`."""
        new = self.document(name).version if new is None else new
        before, after = (split_lines(self.text_at(name, version)) for version in (old, new))
        return unified_diff(before, after, f"{name} {old}", f"{name} {new}")

    def restore(self, name: str, version: str, *, author: str | None = None) -> Document:
        """Make an earlier version the present one; a new edit, so nothing is lost.

        Raises:
            DocumentNotFound: unknown name or version. Otherwise as `edit`.
        """
        text = self.text_at(name, version)
        return self.edit(name, text, base_version=None, author=author, summary=f"restored {version}")

    def scrub(self) -> None:
        """Nothing of the lines deleted so far is left in this replica's database. The history keeps every version."""
        with self._store.lock:
            self._store.memory.scrub()

    def rewrite_history(self, clean: Callable[[str], str]) -> int:
        """Pass every version of every document, of all projects, through `clean`; how many changed.

        Raises:
            StoreError.
        """
        with self._store.lock:
            return self._store.memory.rewrite_history(clean)

    def conflicts(self) -> list[LineConflict]:
        """Places that two devices changed at once, in document order."""
        with self._store.lock:
            self._store.refresh(self._paths.values())
            return [
                LineConflict(
                    conflict.conflict_id,
                    name,
                    conflict.indexes[0] + 1,
                    tuple(ConflictSide(hunk.author, hunk.text) for hunk in conflict.hunks),
                )
                for name, path in self._paths.items()
                for conflict in self._store.memory.conflicts(path)
            ]

    def resolve(self, conflict_id: str, text: str, *, author: str | None = None) -> Document:
        """Put `text` in the place of all sides of a conflict; empty text removes them.

        Raises:
            DocumentNotFound: no such conflict, or one of its sides changed meanwhile.
            DocumentRejected: as `edit`.
        """
        with self._store.lock:
            for name, path in self._paths.items():
                lines = self._writable(name, refuse=False)
                for conflict in self._store.memory.conflicts(path):
                    if conflict.conflict_id == conflict_id:
                        self._refuse_trouble(name)
                        first, *others = conflict.indexes
                        new = split_lines(in_style_of(lines, text.removesuffix("\n")))
                        changes = [LineChange(first, first + 1, tuple(new))]
                        changes += [LineChange(index, index + 1) for index in others]
                        self._change(name, changes, author, f"resolved conflict {conflict_id}")
                        return self._must_be(name)
        raise DocumentNotFound(
            f"There is no conflict {conflict_id[:80]!r}.", "It was resolved or changed; list them again."
        )

    def _path(self, name: str) -> str:
        """
        Raises:
            DocumentNotFound: neither one of the four names nor an archive of this project's log.
        """
        archives = (
            {path.rpartition("/")[2]: path for path in self._archive_paths()} if is_archive(name) else {}
        )
        return archives.get(name) or self._paths[check_document_name(name)]

    def _archive_paths(self) -> list[str]:
        paths = self._store.memory.paths()
        return [
            path for path in paths if is_archive(path.rpartition("/")[2]) and project_of(path) == self.project
        ]

    def _is_known(self, entry_id: str, lines: list[str]) -> bool:
        """Whether the log has, or once had, an entry with this id."""
        memory = self._store.memory
        if memory.has_entry(self._paths[LOG], entry_id) or find_entry(lines, entry_id) is not None:
            return True
        return any(find_entry(memory.texts(path), entry_id) for path in self._archive_paths())

    def _roll_over(self, path: str) -> None:
        try:
            roll_over(self._store, path, self._author)
        except StoreError as error:
            log.warning("Older entries of %s could not be moved to an archive: %s", path, error.message)

    def _present(self, path: str) -> Document | None:
        state = self._store.memory.state(path)
        if state is None:
            return None
        name, version = path.rpartition("/")[2], state.version[:VERSION_DIGITS]
        return Document(name, state.text, version, state.at, state.author, state.conflicts)

    def _must_be(self, name: str) -> Document:
        document = self._present(self._path(name))
        if document is None:
            raise DocumentNotFound(f"{name} has no text yet.")
        return document

    def _writable(self, name: str, refuse: bool = True) -> list[str]:
        """The document's lines now, in a state that may be changed."""
        self._store.refresh([self._path(name)])
        if refuse:
            self._refuse_trouble(name)
        return self._store.memory.texts(self._path(name))

    def _refuse_trouble(self, name: str) -> None:
        trouble = self._store.trouble(self._path(name))
        if trouble is not None:
            raise DocumentRejected(
                f"{name} {trouble}, so it is left alone.", "Mend or remove the file, then try again."
            )

    def _base(self, name: str, version: str | None, current: list[str]) -> str:
        if version is None:
            return join_lines(current)
        text = self._store.memory.text_at(self._path(name), version)
        if text is None:
            raise StaleVersion(
                f"{name} has no version {version[:80]!r}.", "Read the document again and redo the edit."
            )
        return text

    def _change(
        self,
        name: str,
        changes: list[LineChange],
        author: str | None,
        summary: str | None,
        entry_id: str | None = None,
    ) -> None:
        path = self._path(name)
        if not changes:
            return
        _check_size(name, join_lines(apply_changes(self._store.memory.texts(path), changes)))
        shown = None if summary is None else f"{path}: {summary}"
        self._store.change(path, changes, author=author or self._author, summary=shown, entry_id=entry_id)


def _check_size(name: str, text: str) -> None:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise DocumentRejected(
            f"The text holds {text[error.start]!r}, half a character that UTF-8 cannot store.",
            "Send whole characters.",
        ) from error
    if size > MAX_DOCUMENT_BYTES:
        raise DocumentRejected(
            f"{name} would have {size} bytes; at most {MAX_DOCUMENT_BYTES} are allowed.",
            "Move older parts to another file.",
        )
    if text.count("\n") > MAX_DOCUMENT_LINES:
        raise DocumentRejected(
            f"{name} would have {text.count(chr(10))} lines; at most {MAX_DOCUMENT_LINES} are allowed.",
            "Move older parts to another file.",
        )
