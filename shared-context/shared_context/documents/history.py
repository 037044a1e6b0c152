"""Every version of the documents, in a bare git repository of its own.

`git -C <folder> log`, `show`, `diff` and `fsck` work on it. It never touches a repository that
the context folder may be part of.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from dulwich.errors import NotGitRepository
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.repo import Repo

from shared_context.documents.history_pack import pack_history
from shared_context.documents.history_rewrite import rewrite

BRANCH = b"refs/heads/main"

LOOSE_OBJECTS = 600
"""Loose objects are packed beyond this: each is a whole version and takes a disk block."""

_CHANGE = re.compile(rb"^Change: (\S+)$", re.MULTILINE)


class GitHistory:
    """The repository. Used by one thread at a time (but for packing), in one process.

    Args:
        folder: the bare repository; made when missing. One that git could not read either is
            moved aside (see `moved_aside`) and a new one begun.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.moved_aside: Path | None = None
        self._commits = 0
        self._packing = threading.Lock()
        try:
            self._open()
        except (NotGitRepository, KeyError, ValueError, AssertionError, OSError) as error:
            if isinstance(error, PermissionError) or not folder.is_dir():
                raise
            self.moved_aside = folder.with_name(f"{folder.name}.broken-{int(time.time())}")
            folder.rename(self.moved_aside)
            self._open()

    def commit(
        self,
        path: str,
        content: bytes,
        *,
        author: str,
        at: float,
        summary: str,
        change_id: str,
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Record a version of one document.

        Args:
            path: below the context folder, at most one folder deep.
            at: seconds since 1970.
            change_id: committing the change that is already the newest does nothing, so a
                commit may be repeated after a crash.
        """
        head = self._head()
        if head is not None and change_of(head) == change_id:
            return
        store = self._repo.object_store
        blob = Blob.from_string(content)
        folder, _, name = path.rpartition("/")
        root = self._tree(head.tree) if head is not None else Tree()
        new: list[ShaFile] = [blob]
        if folder:
            key = folder.encode()
            below = self._tree(root[key][1]) if key in root else Tree()
            below.add(name.encode(), 0o100644, blob.id)
            root.add(key, 0o040000, below.id)
            new.append(below)
        else:
            root.add(name.encode(), 0o100644, blob.id)
        commit = _commit(root, head, author, at, f"{summary}\n\nChange: {change_id}\n")
        # One by one: added together, every commit would become a pack of its own.
        for item in (*new, root, commit):
            store.add_object(item)
        step("history-written")
        self._repo.refs.set_if_equals(BRANCH, head.id if head is not None else None, commit.id)
        step("history-moved")
        self._commits += 1

    def text(self, version: str) -> str | None:
        """The text with this (whole) version; None when it was never committed."""
        try:
            blob = self._repo.object_store[ObjectID(version.encode())]
        except KeyError:
            return None
        return blob.data.decode("utf-8") if isinstance(blob, Blob) else None

    def pack_when_loose(self, limit: int = LOOSE_OBJECTS) -> bool:
        """Put loose objects into a pack when there are many; whether it did."""
        self._commits = 0
        objects = self.folder / "objects"
        loose = sum(len(list(part.iterdir())) for part in objects.glob("??") if part.is_dir())
        if loose <= limit:
            return False
        # A view of its own, so that it may run while another thread commits.
        with self._packing, Repo(str(self.folder)) as repo:
            pack_history(repo, BRANCH)
        return True

    def rewrite(self, clean: Callable[[bytes], bytes]) -> dict[str, str]:
        """See `history_rewrite.rewrite`."""
        with self._packing:
            self._repo.close()
            try:
                return rewrite(self.folder, BRANCH, clean)
            finally:
                self._open()

    @property
    def is_loose(self) -> bool:
        """Whether `pack_when_loose` may have something to do."""
        return self._commits * 3 > LOOSE_OBJECTS

    def close(self) -> None:
        self._repo.close()

    def clear_locks(self) -> None:
        """Remove git's lock files: the state's lock is ours, so whoever left one is dead, or failed to
        write (a full disk)."""
        patterns = ("*.lock", "refs/**/*.lock", "objects/??/*.lock")
        for lock in (path for pattern in patterns for path in self.folder.glob(pattern)):
            with contextlib.suppress(OSError):
                lock.unlink()

    def _open(self) -> None:
        if not self.folder.is_dir() or not any(self.folder.iterdir()):
            self.folder.mkdir(parents=True, exist_ok=True)
            Repo.init_bare(str(self.folder), default_branch=b"main").close()
        self._repo = Repo(str(self.folder))
        # Not in the repository's config: git warns about the name there on every command.
        self._repo.object_store.fsync_object_files = True
        self.clear_locks()
        head = self._head()
        if head is not None:
            self._tree(head.tree)

    def _head(self) -> Commit | None:
        try:
            name = self._repo.refs[BRANCH]
        except KeyError:
            return None
        commit = self._repo.object_store[name]
        if not isinstance(commit, Commit):
            raise ValueError(f"{BRANCH.decode()} is no commit")
        return commit

    def _tree(self, name: bytes) -> Tree:
        tree = self._repo.object_store[ObjectID(name)]
        if not isinstance(tree, Tree):
            raise ValueError(f"{name.decode()} is no tree")
        return tree.copy()


def text_version(text: str) -> str:
    """The version of a text: git's id of it, 40 hexadecimal digits."""
    content = text.encode("utf-8")
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def change_of(commit: Commit) -> str | None:
    """The id of the change a commit records."""
    match = _CHANGE.search(commit.message)
    return match.group(1).decode() if match else None


def _commit(root: Tree, head: Commit | None, author: str, at: float, message: str) -> Commit:
    name = re.sub(r"[<>\x00-\x1f]+", " ", author).strip() or "unknown"
    commit = Commit()
    commit.tree = root.id
    commit.parents = [] if head is None else [head.id]
    address = re.sub(r"\W+", "-", name)
    commit.author = commit.committer = f"{name} <{address}@orchestrator>".encode()
    commit.author_time = commit.commit_time = int(at)
    commit.author_timezone = commit.commit_timezone = 0
    commit.encoding = b"UTF-8"
    commit.message = message.encode("utf-8")
    return commit
