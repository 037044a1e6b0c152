"""Which lines of a document contradict each other. Pure.

Every replica computes this from the shared lines alone and comes to the same answer.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from shared_context.documents.line import Line
from shared_context.documents.log_entry import same_entries

LineIds = Callable[[Sequence[int]], list[tuple[int, int]]]
"""Gives the ids `(client, clock)` of the lines at these indexes."""

RIVALS_WITHIN = 200
"""How far from a line its rivals without a hunk are looked for: finding an id takes a walk
over the document, and they were neighbours."""


UNKNOWN = "unknown"
"""The author of what nobody has signed."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines put in together, or the deletion of what they stand for: one side of a conflict."""

    key: str
    author: str
    indexes: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class HunkConflict:
    """Hunks that stand for the same earlier lines, by their place in the document; a deletion is the last."""

    hunks: tuple[Hunk, ...]

    @property
    def conflict_id(self) -> str:
        """The same on every replica; another one as soon as any side changes."""
        keys = "\n".join(sorted(hunk.key for hunk in self.hunks))
        return hashlib.sha256(keys.encode()).hexdigest()[:12]

    @property
    def indexes(self) -> list[int]:
        return sorted(index for hunk in self.hunks for index in hunk.indexes)


_DELETION = Hunk("deleted", UNKNOWN, (), "")


def find_conflicts(lines: Sequence[Line], ids: LineIds) -> list[HunkConflict]:
    """The conflicts in the order of the document."""
    indexes = _hunks(lines)
    groups = _Groups(indexes)
    for hunk, overlapping in _sharing(lines):
        groups.join(hunk, overlapping)
    for at, line in enumerate(lines):
        if line.rivals and line.hunk is not None and not line.is_disputed:
            for key in _rivals(lines, at, ids, indexes):
                groups.join(line.hunk, key)
    disputed = {line.hunk for line in lines if line.is_disputed}
    conflicts: list[HunkConflict] = []
    for keys in groups.all():
        deletion = [] if disputed.isdisjoint(keys) else [_DELETION]
        if len(keys) + len(deletion) > 1:
            hunks = sorted((_hunk(key, indexes[key], lines) for key in keys), key=lambda hunk: hunk.indexes)
            conflicts.append(HunkConflict((*hunks, *deletion)))
    return sorted(conflicts, key=lambda conflict: conflict.hunks[0].indexes)


def repeated_sides(conflicts: Sequence[HunkConflict], ids: LineIds) -> list[int]:
    """Lines to take out because another side of the same conflict says the same.

    The side with the smallest id stays, so replicas that do this at once, even with other
    sides in sight, never take out the last one.
    """
    repeated: list[int] = []
    for conflict in conflicts:
        by_text: dict[str, list[Hunk]] = defaultdict(list)
        for hunk in conflict.hunks:
            if hunk.indexes:
                by_text[hunk.text].append(hunk)
        for same in (hunks for hunks in by_text.values() if len(hunks) > 1):
            firsts = ids([hunk.indexes[0] for hunk in same])
            stays = firsts.index(min(firsts))
            repeated += [i for n, hunk in enumerate(same) if n != stays for i in hunk.indexes]
    return sorted(repeated)


def repeated_entries(lines: Sequence[Line], ids: LineIds) -> list[int]:
    """Lines of log entries that are there twice, but for the copy with the smallest id."""
    repeated: list[int] = []
    for places in same_entries([line.text for line in lines]):
        firsts = ids([start for start, _ in places])
        stays = firsts.index(min(firsts))
        # The empty line that ends the document belongs to no entry.
        spans = [range(a, min(b, len(lines) - 1)) for n, (a, b) in enumerate(places) if n != stays]
        repeated += [index for span in spans for index in span]
    return sorted(repeated)


def _hunks(lines: Sequence[Line]) -> dict[str, list[int]]:
    hunks: dict[str, list[int]] = defaultdict(list)
    for index, line in enumerate(lines):
        if line.hunk is not None:
            hunks[line.hunk].append(index)
    return hunks


def _hunk(key: str, indexes: list[int], lines: Sequence[Line]) -> Hunk:
    author = next((lines[i].author for i in indexes if lines[i].author), UNKNOWN)
    return Hunk(key, author, tuple(indexes), "\n".join(lines[i].text for i in indexes))


def _sharing(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Pairs of hunks whose runs overlap, found by sorting: runs are long, hunks are many."""
    spans = sorted(
        (run.client, run.clock, run.clock + run.length, line.hunk)
        for line in lines
        if line.hunk is not None
        for run in line.over
    )
    pairs: list[tuple[str, str]] = []
    reach: tuple[int, int, str] | None = None
    for client, start, end, hunk in spans:
        if reach is not None and reach[0] == client and start < reach[1]:
            pairs.append((reach[2], hunk))
            end = max(end, reach[1])
        reach = (client, end, hunk)
    return pairs


def _rivals(lines: Sequence[Line], at: int, ids: LineIds, hunks: dict[str, list[int]]) -> list[str]:
    """The hunks of the lines that line `at` was put beside. Lines without a hunk make up one."""
    near = range(max(0, at - RIVALS_WITHIN), min(len(lines), at + RIVALS_WITHIN))
    every = dict(zip(near, ids(near), strict=True))
    rivals = [
        index
        for index, (client, clock) in every.items()
        if any(run.client == client and 0 <= clock - run.clock < run.length for run in lines[at].rivals)
    ]
    keys = {line.hunk for line in (lines[i] for i in rivals) if line.hunk is not None}
    plain = [index for index in rivals if lines[index].hunk is None]
    if plain:
        client, clock = every[plain[0]]
        keys.add(f"{client}.{clock}")
        hunks[f"{client}.{clock}"] = plain
    return sorted(keys)


class _Groups:
    """Keys that belong together (union-find)."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._parent = {key: key for key in keys}

    def join(self, one: str, other: str) -> None:
        self._parent[self._root(one)] = self._root(other)

    def all(self) -> list[list[str]]:
        groups: dict[str, list[str]] = defaultdict(list)
        for key in list(self._parent):
            groups[self._root(key)].append(key)
        return list(groups.values())

    def _root(self, key: str) -> str:
        self._parent.setdefault(key, key)
        while self._parent[key] != key:
            self._parent[key] = key = self._parent[self._parent[key]]
        return key
