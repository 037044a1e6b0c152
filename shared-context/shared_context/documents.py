"""The handoff documents, as everyone above this room sees them.

Below it, from the surface down: `document_store` keeps files and memory the same,
`versioned_lines` stores every change and version, `crdt` merges lines, `history` is the git
repository, `line_diff` and `contests` decide what changed and what contradicts.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from shared_context.document import VERSION_DIGITS, Conflict, ConflictSide, Document, Version
from shared_context.document_folder import (
    conflicted_copies,
    documents_in,
    project_folders,
    projects_in,
)
from shared_context.document_store import DocumentStore
from shared_context.errors import DocumentNotFound, DocumentRejected, StaleVersion
from shared_context.handoff import (
    DOCUMENT_NAMES,
    LOG,
    MAX_DOCUMENT_BYTES,
    check_document_name,
    check_project_name,
    document_path,
)
from shared_context.line_diff import Change, apply_changes, join_lines, merge_edit, split_lines
from shared_context.log_entry import check_entry_id, entry_lines, find_entry, new_entry_id
from shared_context.starters import starter_text
from shared_context.subscribers import Subscribers
from shared_context.text_style import block_at_end, in_style_of

__all__ = ["DOCUMENT_NAMES", "Conflict", "ConflictSide", "ContextFolder", "Document", "Version"]


class ContextFolder:
    """The four documents of one project in one folder. Safe to use from any thread.

    Args:
        folder: where the documents lie; made when missing, adopted as it is otherwise. Documents
            it lacks are filled from the starters.
        project: subfolder of the project's three documents; None: beside the portfolio.
        state: folder for what the memory keeps about the documents, beside `folder`, not in it;
            `history.git` in it is a plain git repository of all versions.
        author: this device's name in the history.
        starters: False for a replica that starts empty and receives its documents.
        step, wait_s: see `DocumentStore`.

    Raises:
        StoreLocked: another process has this state open. StoreError: the state is unusable.
        DocumentRejected: the project's name cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        project: str | None = None,
        state: Path,
        author: str = "desktop",
        starters: bool = True,
        step: Callable[[str], None] = lambda _: None,
        wait_s: float = 0.0,
    ) -> None:
        project = None if project is None else check_project_name(project)
        store = DocumentStore(Path(folder), Path(state), author, step, wait_s=wait_s)
        try:
            self._view(store, Subscribers(store), project, author, starters)
            store.look_for_more(self._of_other_projects)
            store.refresh_all()
        except BaseException:
            store.close()
            raise
        self._owner = True

    def in_project(self, project: str | None, *, create: bool = False) -> ContextFolder:
        """The same folder and memory, seen from another project. Only the first one needs closing.

        Raises:
            DocumentNotFound: there is no such project, and `create` is False.
            DocumentRejected: the name cannot be used.
        """
        project = None if project is None else check_project_name(project)
        if project is not None and not create and project not in self.projects():
            raise DocumentNotFound(
                f"There is no project {project!r}.",
                f"The projects are: {', '.join(self.projects()) or 'none yet'}.",
            )
        view = object.__new__(type(self))
        view._view(self._store, self._subscribers, project, self._author, self._starters)
        view._owner = False
        return view

    def projects(self) -> list[str]:
        """Names of the projects whose documents are on disk or in memory."""
        with self._store.lock:
            stored = {path.rpartition("/")[0] for path in self._store.memory.paths()}
        return sorted({*projects_in(self.folder), *stored} - {""})

    def documents(self) -> list[Document]:
        """The documents from broad to narrow, as they are on disk now. Costs a `stat` of each
        file when nothing changed. A document that was never readable is left out; one that is
        left alone now is given as it was last (see `problems`)."""
        with self._store.lock:
            self._store.refresh(self._paths.values())
            found = (self._present(name) for name in DOCUMENT_NAMES)
            return [document for document in found if document is not None]

    def document(self, name: str) -> Document:
        """One document as it is now.

        Raises:
            DocumentNotFound: not one of the four names, or nothing readable of it exists.
        """
        path = self._paths[check_document_name(name)]
        with self._store.lock:
            self._store.refresh([path])
            document = self._present(name)
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
    ) -> Document:
        """Make `text` the document, as an edit of `base_version`.

        When others changed the document since, their changes and these are merged; lines both
        changed are kept twice and listed by `conflicts`. None as base means the present version.
        Line endings are made those of the document.

        Raises:
            DocumentNotFound: unknown name. StaleVersion: the base is no version of the document.
            DocumentRejected: the text cannot be stored as UTF-8 or is larger than 4 MiB, or the
                file on disk is being left alone. StoreError: nothing was changed.
        """
        check_document_name(name)
        with self._store.lock:
            current = self._writable(name)
            base = self._base(name, base_version, current)
            mine = split_lines(in_style_of(current, text))
            self._change(name, merge_edit(split_lines(base), mine, current), author, summary)
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
            known = self._store.memory.has_entry(self._paths[LOG], entry_id)
            if not known and find_entry(lines, entry_id) is None:
                at, new = block_at_end(lines, block)
                summary = f"entry {entry_id}"
                self._change(LOG, [Change(at, at, tuple(new))], author, summary, entry_id=entry_id)
            return self._must_be(LOG), entry_id

    def history(self, name: str, limit: int = 100) -> list[Version]:
        """The versions of a document, newest first."""
        path = self._paths[check_document_name(name)]
        with self._store.lock:
            self._store.refresh([path])
            stored = self._store.memory.versions(path, limit)
        return [Version(v.version[:VERSION_DIGITS], v.author, v.at, v.summary) for v in stored]

    def text_at(self, name: str, version: str) -> str:
        """The document as it was.

        Raises:
            DocumentNotFound: unknown name or version.
        """
        path = self._paths[check_document_name(name)]
        with self._store.lock:
            text = self._store.memory.text_at(path, version)
        if text is None:
            raise DocumentNotFound(f"{name} has no version {version[:80]!r}.", "Its history lists them.")
        return text

    def diff(self, name: str, old: str, new: str | None = None) -> str:
        """Unified diff of two versions; `new` None: against the present one. Raises as `text_at`."""
        new = self.document(name).version if new is None else new
        before, after = (split_lines(self.text_at(name, version)) for version in (old, new))
        lines = difflib.unified_diff(before, after, f"{name} {old}", f"{name} {new}", lineterm="")
        return "".join(f"{line}\n" for line in lines)

    def restore(self, name: str, version: str, *, author: str | None = None) -> Document:
        """Make an earlier version the present one; a new edit, so nothing is lost.

        Raises:
            DocumentNotFound: unknown name or version. Otherwise as `edit`.
        """
        text = self.text_at(name, version)
        return self.edit(name, text, base_version=None, author=author, summary=f"restored {version}")

    def conflicts(self) -> list[Conflict]:
        """Places that two devices changed at once, in document order."""
        with self._store.lock:
            self._store.refresh(self._paths.values())
            return [
                Conflict(
                    contest.contest_id,
                    name,
                    contest.indexes[0] + 1,
                    tuple(ConflictSide(hunk.author, hunk.text) for hunk in contest.hunks),
                )
                for name, path in self._paths.items()
                for contest in self._store.memory.contests(path)
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
                for contest in self._store.memory.contests(path):
                    if contest.contest_id == conflict_id:
                        self._refuse_trouble(name)
                        first, *others = contest.indexes
                        new = split_lines(in_style_of(lines, text.removesuffix("\n")))
                        changes = [Change(first, first + 1, tuple(new))]
                        changes += [Change(index, index + 1) for index in others]
                        self._change(name, changes, author, f"resolved conflict {conflict_id}")
                        return self._must_be(name)
        raise DocumentNotFound(
            f"There is no conflict {conflict_id[:80]!r}.", "It was resolved or changed; list them again."
        )

    def problems(self) -> list[str]:
        """What a person should know: files left alone and why, documents restored, copies that
        another synchronising tool made."""
        watching = self._subscribers.problem
        copies = conflicted_copies({(self.folder / path).parent for path in self._paths.values()})
        return [
            *self._store.problems(),
            *(f"{copy} is a copy made by another tool; it is not read. Merge it by hand." for copy in copies),
            *([watching] if watching else []),
        ]

    def on_change(self, callback: Callable[[tuple[str, ...]], None]) -> Callable[[], None]:
        """Call `callback(names)` whenever documents changed, from any source, soon after.

        Calls come one at a time from a thread of their own; an exception is logged. The folder
        is watched from the first call on. Returns a function that ends the calls.
        """
        names = {path: name for name, path in self._paths.items()}

        def tell(paths: set[str]) -> None:
            changed = tuple(names[path] for path in names if path in paths)
            if changed:
                callback(changed)

        return self._subscribers.add(tell, {(self.folder / path).parent for path in names})

    def on_any_change(self, callback: Callable[[tuple[str, ...]], None]) -> Callable[[], None]:
        """`on_change` for all projects' documents, told by their paths below the folder."""
        return self._subscribers.add(lambda paths: callback(tuple(sorted(paths))), {self.folder})

    def state_vector(self) -> bytes:
        """What this replica has of all projects' documents, in Yjs's encoding."""
        with self._store.lock:
            self._store.refresh_all()
            return self._store.memory.state_vector()

    def update_since(self, vector: bytes | None = None) -> bytes:
        """What a replica with this state vector lacks, as a Yjs update; None: everything.

        Raises:
            DocumentRejected: the bytes are no state vector.
        """
        with self._store.lock:
            self._store.refresh_all()
            return self._store.memory.update_since(vector)

    def apply_update(self, update: bytes, author: str) -> tuple[str, ...]:
        """Merge another replica's update; returns the paths of the documents it changed.

        Applying it again changes nothing. `author` is the device the change comes from.

        Raises:
            DocumentRejected: it is no update of handoff documents, or builds on updates that are
                missing here. StoreError: nothing was changed.
        """
        return tuple(sorted(self._store.receive(update, author)))

    def close(self) -> None:
        """Stop watching and let go of the state. Idempotent."""
        if self._owner:
            self._owner = False
            self._subscribers.close()
            self._store.close()

    def _view(
        self,
        store: DocumentStore,
        subscribers: Subscribers,
        project: str | None,
        author: str,
        starters: bool,
    ) -> None:
        self.folder = store.folder
        self.project = project
        self._store = store
        self._subscribers = subscribers
        self._author = author
        self._starters = starters
        self._paths = {name: document_path(name, project) for name in DOCUMENT_NAMES}
        for name, path in self._paths.items():
            store.track(path, starter_text(name) if starters else None)

    def _of_other_projects(self) -> list[str]:
        """Paths of what all projects have: on disk, where documents begin on disk, and in memory.
        A project whose folder was removed is not brought back before somebody asks for it."""
        folders = project_folders(self.folder)
        there = {folder.name for folder in folders}
        stored = [path for path in self._store.memory.paths() if path.rpartition("/")[0] in there]
        if not self._starters:
            return stored
        return stored + [document_path(name, one.name) for one in folders for name in documents_in(one)]

    def _present(self, name: str) -> Document | None:
        state = self._store.memory.state(self._paths[name])
        if state is None:
            return None
        version = state.version[:VERSION_DIGITS]
        return Document(name, state.text, version, state.at, state.author, state.conflicts)

    def _must_be(self, name: str) -> Document:
        document = self._present(name)
        if document is None:
            raise DocumentNotFound(f"{name} has no text yet.")
        return document

    def _writable(self, name: str, refuse: bool = True) -> list[str]:
        """The document's lines now, in a state that may be changed."""
        self._store.refresh([self._paths[name]])
        if refuse:
            self._refuse_trouble(name)
        return self._store.memory.texts(self._paths[name])

    def _refuse_trouble(self, name: str) -> None:
        trouble = self._store.trouble(self._paths[name])
        if trouble is not None:
            raise DocumentRejected(
                f"{name} {trouble}, so it is left alone.", "Mend or remove the file, then try again."
            )

    def _base(self, name: str, version: str | None, current: list[str]) -> str:
        if version is None:
            return join_lines(current)
        text = self._store.memory.text_at(self._paths[name], version)
        if text is None:
            raise StaleVersion(
                f"{name} has no version {version[:80]!r}.", "Read the document again and redo the edit."
            )
        return text

    def _change(
        self,
        name: str,
        changes: list[Change],
        author: str | None,
        summary: str | None,
        entry_id: str | None = None,
    ) -> None:
        path = self._paths[name]
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
