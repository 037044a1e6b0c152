"""Documents that began apart meet: what both have is to be there once.

A desktop fills its documents from files or starters. When its `documents.db` is a new one (a new
computer, a lost disk, a damaged database moved away) and another replica still has the documents of old, the two
histories share nothing, and merging them as they are would double every line. They are known by that: no
writer of one is known to the other. The desktop then joins them, once, by an edit that goes to all.

Nothing is done at replicas that start empty: the same edit made twice would double what it puts in.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence

from shared_context.documents.line_diff import (
    LineChange,
    apply_changes,
    changed_lines,
    join_lines,
    split_lines,
)
from shared_context.documents.log_entry import same_entries
from shared_context.documents.state_vector import covers, entries_of
from shared_context.documents.text_style import in_style_of
from shared_context.documents.versioned_lines import VersionedLines

_MARKER = "#first-meeting"
"""Where the memory keeps a meeting that is not over."""


def joined(own: Sequence[str], theirs: Sequence[str], starter: Sequence[str]) -> list[str]:
    """The lines of both, those they have in common once; own ones first where they differ.

    A starter that nobody has edited gives way to a document that has its heading.
    """
    theirs = split_lines(in_style_of(own, join_lines(theirs)))
    if list(own) == list(starter) and starter and starter[0] in theirs:
        return theirs
    if theirs == list(starter):
        return list(own)
    both = apply_changes(
        own, [LineChange(change.stop, change.stop, change.lines) for change in changed_lines(own, theirs)]
    )
    repeated = {i for same in same_entries(both) for start, stop in same[1:] for i in range(start, stop)}
    return [line for i, line in enumerate(both) if i not in repeated]


class UnrelatedHistories:
    """Used by one thread at a time.

    Args:
        starter: the lines a document of this path begins with.
    """

    def __init__(self, memory: VersionedLines, starter: Callable[[str], Sequence[str]]) -> None:
        self._memory = memory
        self._starter = starter

    @property
    def pending(self) -> bool:
        """Whether documents that began apart are being received."""
        return bool(self._memory.seen(_MARKER))

    def begin(self, theirs: bytes) -> None:
        """Note that somebody has this state vector: if it is a stranger's, what he has will be joined."""
        own, others = entries_of(self._memory.state_vector()), entries_of(theirs)
        if not own or not others or own.keys() & others.keys() or self.pending:
            return
        marker = {"own": [*own, self._memory.client], "theirs": base64.b64encode(theirs).decode("ascii")}
        self._memory.see(_MARKER, json.dumps(marker).encode("ascii"))

    def end(self, author: str) -> set[str]:
        """Join the documents once all of theirs is here; returns the paths of those that changed.

        Safe to repeat after a crash at any point.

        Raises:
            StoreError: what could not be stored is joined next time.
        """
        stored = self._memory.seen(_MARKER)
        if not stored:
            return set()
        marker = json.loads(stored)
        if not covers(self._memory.state_vector(), base64.b64decode(marker["theirs"])):
            return set()
        mark, own = hashlib.sha256(stored).digest(), set(marker["own"])
        changed = {path for path in self._memory.paths() if self._join(path, own, author, mark)}
        self._memory.see(_MARKER, b"")
        return changed

    def _join(self, path: str, own: set[int], author: str, mark: bytes) -> bool:
        if self._memory.seen(path + _MARKER) == mark:
            return False
        lines = self._memory.texts(path)
        writers = [client for client, _ in self._memory.ids(path, range(len(lines)))]
        mine = [line for line, writer in zip(lines, writers, strict=True) if writer in own]
        theirs = [line for line, writer in zip(lines, writers, strict=True) if writer not in own]
        if not mine or not theirs:
            return False
        changes = changed_lines(lines, joined(mine, theirs, self._starter(path)))
        summary = f"{path}: joined with a copy that began apart"
        self._memory.change(path, changes, author=author, summary=summary, seen={path + _MARKER: mark})
        return bool(changes)
