"""Takes words out of the whole history of the documents: what the owner wants forgotten.

Every commit is made anew, with its author, time and message, so ids of commits and of the versions that held
the words change. What is left behind is removed from the repository at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dulwich.gc import garbage_collect
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.repo import Repo

_TREE_MODE = 0o040000


def rewrite(folder: Path, branch: bytes, clean: Callable[[bytes], bytes]) -> dict[str, str]:
    """Pass every version of every document through `clean`.

    Args:
        folder: the bare repository; nobody else may write to it meanwhile.
        clean: the content without what shall be forgotten; the same content where nothing is.

    Returns:
        The versions that changed: old id of the content to the new one.
    """
    with Repo(str(folder)) as repo:
        if branch not in repo.refs:
            return {}
        before = repo.refs[branch]
        work = _Rewriting(repo, clean)
        commits = [entry.commit for entry in repo.get_walker([before])]
        parent: ObjectID | None = None
        for commit in reversed(commits):
            parent = work.commit(commit, parent)
        if work.changed and parent is not None:
            repo.refs.set_if_equals(branch, before, parent)
            garbage_collect(repo, prune=True, grace_period=0)
        return work.changed


class _Rewriting:
    def __init__(self, repo: Repo, clean: Callable[[bytes], bytes]) -> None:
        self._store = repo.object_store
        self._clean = clean
        self._done: dict[ObjectID, ObjectID] = {}
        self.changed: dict[str, str] = {}

    def commit(self, old: Commit, parent: ObjectID | None) -> ObjectID:
        new = old.copy()
        new.tree = self._tree(old.tree)
        new.parents = [] if parent is None else [parent]
        return self._added(new)

    def _tree(self, name: ObjectID) -> ObjectID:
        if name not in self._done:
            old = self._store[name]
            assert isinstance(old, Tree)
            new = Tree()
            for entry in old.iteritems():
                assert entry.path is not None and entry.mode is not None and entry.sha is not None
                below = self._tree if entry.mode == _TREE_MODE else self._blob
                new.add(entry.path, entry.mode, below(ObjectID(entry.sha)))
            self._done[name] = self._added(new)
        return self._done[name]

    def _blob(self, name: ObjectID) -> ObjectID:
        if name not in self._done:
            old = self._store[name]
            assert isinstance(old, Blob)
            content = self._clean(old.data)
            if content != old.data:
                new = Blob.from_string(content)
                self.changed[name.decode()] = new.id.decode()
                self._added(new)
                self._done[name] = new.id
            else:
                self._done[name] = name
        return self._done[name]

    def _added(self, item: Commit | Tree | Blob) -> ObjectID:
        if item.id not in self._store:
            self._store.add_object(item)
        return item.id
