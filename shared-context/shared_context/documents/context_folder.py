"""The handoff documents, as everyone above this room sees them.

Below it, from the surface down: `project_documents` reads and edits those of one project,
`store` keeps files and memory the same (`mirrored_file` each of them), `versioned_lines` stores
every change and version, `crdt` merges lines, `history` is the git repository, `line_diff` and
`conflicts` decide what changed and what contradicts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

from shared_context.documents.document import ConflictSide, Document, DocumentVersion, LineConflict
from shared_context.documents.document_folder import (
    archives_in,
    conflicted_copies,
    documents_in,
    project_folders,
    projects_in,
)
from shared_context.documents.document_names import (
    DOCUMENT_NAMES,
    check_project_name,
    document_path,
    is_archive,
    project_of,
)
from shared_context.documents.log_entry import check_author
from shared_context.documents.project_documents import ProjectDocuments
from shared_context.documents.store import DocumentStore
from shared_context.documents.subscribers import Subscribers
from shared_context.errors import DocumentNotFound

__all__ = ["DOCUMENT_NAMES", "ConflictSide", "ContextFolder", "Document", "DocumentVersion", "LineConflict"]


class ContextFolder(ProjectDocuments):
    """All documents of one folder, and those of its active project. Safe to use from any thread.

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
        self._subscribers = Subscribers(store)
        self._owner = True
        try:
            super().__init__(store, project, author, starters)
            store.look_for_more(self._of_other_projects)
            store.refresh_all()
        except BaseException:
            store.close()
            raise

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
        view = copy.copy(self)
        ProjectDocuments.__init__(view, self._store, project, self._author, self._starters)
        view._owner = False
        return view

    def written_by(self, author: str) -> ContextFolder:
        """The same documents, for somebody else to write. Only the first one needs closing.

        Args:
            author: the name in the history.

        Raises:
            DocumentRejected: the name cannot be used.
        """
        view = copy.copy(self)
        view._author, view._owner = check_author(author), False
        return view

    def projects(self) -> list[str]:
        """Names of the projects whose documents are on disk or in memory."""
        with self._store.lock:
            stored = {project_of(path) for path in self._store.memory.paths()} - {None}
        return sorted({*projects_in(self.folder), *filter(None, stored)})

    def of_all_projects(self) -> dict[str, Document]:
        """Every document that is kept on disk, as it is now, by its path below the folder."""
        with self._store.lock:
            self._store.refresh_all()
            documents = {path: self._present(path) for path in self._store.paths()}
            return {path: document for path, document in documents.items() if document is not None}

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

    def meet(self, vector: bytes) -> None:
        """Learn of another replica's state before its update is applied. When the two have nothing in
        common, because one of them lost its past, their documents are joined as soon as all of the other's
        are here: at the replica that fills its documents from files (see `unrelated_histories`).

        Raises:
            DocumentRejected: the bytes are no state vector. StoreError.
        """
        if self._starters:
            self._store.meet(vector)

    def apply_update(self, update: bytes, author: str) -> tuple[str, ...]:
        """Merge another replica's update; returns the paths of the documents it changed.

        Applying it again changes nothing. `author` is the device the change comes from.

        Raises:
            DocumentRejected: it is no update of handoff documents, or builds on updates that are
                missing here. StoreError: nothing was changed.
        """
        changed = self._store.receive(update, author)
        for path in changed if self._starters else ():
            self._roll_over(path)
        return tuple(sorted(changed))

    def close(self) -> None:
        """Stop watching and let go of the state. Idempotent."""
        if self._owner:
            self._owner = False
            self._subscribers.close()
            self._store.close()

    def _of_other_projects(self) -> list[str]:
        """Paths of what all projects have: on disk, where documents begin on disk, and in memory.
        A project whose folder was removed is not brought back before somebody asks for it."""
        folders = project_folders(self.folder)
        there = {folder.name for folder in folders}
        stored = [p for p in self._store.memory.paths() if project_of(p) in there or is_archive(p)]
        if not self._starters:
            return stored
        in_projects = [document_path(name, each.name) for each in folders for name in documents_in(each)]
        return [*stored, *archives_in(self.folder), *in_projects]
