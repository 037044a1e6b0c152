"""Differences of texts, line by line, and merging two edits of one text. Pure.

A text is the list of what stands between its line feeds: `"a\\nb\\n"` is `["a", "b", ""]`. So a
missing final newline and carriage returns need no bookkeeping: joining gives back every byte.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MOST_STEPS = 3_000_000
"""Of one comparison, all its regions together: about half a second. difflib takes cubic time when many lines are
alike. A region that would take more than is left is first cut at lines that occur once on each side (as
patience diff does); where there are none it counts as rewritten."""
CONTEXT = 3
"""Unchanged lines around a change in `unified_diff`."""


@dataclass(frozen=True, slots=True)
class LineChange:
    """The lines from `start` to before `stop` give way to `lines`.

    `rivals` are the indexes of lines that somebody else put where these lines belong; they stay,
    and the two are in conflict. `disputed`: one side wrote `lines`, the other deleted what they stand
    for. All indexes are those before any change.
    """

    start: int
    stop: int
    lines: tuple[str, ...] = ()
    rivals: tuple[int, ...] = ()
    disputed: bool = False


def split_lines(text: str) -> list[str]:
    """The lines of a text; none for the empty text. Only the line feed ends a line."""
    return text.split("\n") if text else []


def join_lines(lines: Sequence[str]) -> str:
    return "\n".join(lines)


def apply_changes(lines: Sequence[str], changes: Sequence[LineChange]) -> list[str]:
    """The lines after all changes; those at the same place keep their order."""
    result = list(lines)
    for change in reversed(changes):
        result[change.start : change.stop] = change.lines
    return result


def changed_lines(old: Sequence[str], new: Sequence[str]) -> list[LineChange]:
    """What turns `old` into `new`, in order; unchanged lines lie between any two changes."""
    return list(_region(old, new, 0, _Steps(MOST_STEPS)))


def unified_diff(old: Sequence[str], new: Sequence[str], old_name: str, new_name: str) -> str:
    """What changes, as `diff -u` writes it, with a line feed behind each line; "" when nothing does."""
    hunks: list[list[LineChange]] = []
    for change in changed_lines(old, new):
        if hunks and change.start - hunks[-1][-1].stop <= 2 * CONTEXT:
            hunks[-1].append(change)
        else:
            hunks.append([change])
    lines = [f"--- {old_name}", f"+++ {new_name}"] if hunks else []
    shift = 0
    for hunk in hunks:
        start, stop = max(0, hunk[0].start - CONTEXT), min(len(old), hunk[-1].stop + CONTEXT)
        grown = sum(len(change.lines) - (change.stop - change.start) for change in hunk)
        ranges = _range(start, stop - start), _range(start + shift, stop - start + grown)
        lines.append(f"@@ -{ranges[0]} +{ranges[1]} @@")
        at = start
        for change in hunk:
            lines += [f" {line}" for line in old[at : change.start]]
            lines += [f"-{line}" for line in old[change.start : change.stop]]
            lines += [f"+{line}" for line in change.lines]
            at = change.stop
        lines += [f" {line}" for line in old[at:stop]]
        shift += grown
    return "".join(f"{line}\n" for line in lines)


def _range(start: int, length: int) -> str:
    """As unified diffs count: from 1, and of an empty range the line before it."""
    if length == 1:
        return f"{start + 1}"
    return f"{start + 1 if length else start},{length}"


def merge_edit(base: Sequence[str], mine: Sequence[str], current: Sequence[str]) -> list[LineChange]:
    """What brings the edit `base` → `mine` into `current`, which others made from `base`.

    The rules are those of concurrent edits of one list, so a late edit and a remote one give
    the same result:

    - lines only one side changed: that side's change;
    - lines both changed: both stay, theirs first, marked as rivals, unless they are equal;
    - deleted by one, changed by the other: the changed line stays, marked as disputed;
    - both inserted at one place: both stay, theirs first, equal lines once.
    """
    edits = changed_lines(base, mine)
    if not edits:
        return []
    theirs = _Theirs(changed_lines(base, current))
    changes = [change for edit in edits for change in theirs.bring_in(edit)]
    rivals = {index for change in changes for index in change.rivals}
    disputed = {
        change: None for edit in edits for change in theirs.disputed_by(edit) if change.start not in rivals
    }
    return sorted([*changes, *disputed], key=lambda change: (change.start, change.stop))


class _Steps:
    """How much one comparison may still cost."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, steps: int) -> bool:
        """Whether there was enough left for so many; then they are gone."""
        if steps > self._left:
            return False
        self._left -= steps
        return True


def _region(old: Sequence[str], new: Sequence[str], at: int, steps: _Steps) -> Iterator[LineChange]:
    head = _common_prefix(old, new)
    tail = _common_prefix(old[head:][::-1], new[head:][::-1])
    a, b, at = old[head : len(old) - tail], new[head : len(new) - tail], at + head
    if a and b:
        if steps.take(_cost(a, b)):
            codes = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
            yield from (
                LineChange(at + i, at + j, tuple(b[k:m])) for tag, i, j, k, m in codes if tag != "equal"
            )
        else:
            yield from _between_anchors(a, b, at, steps)
    elif a or b:
        yield LineChange(at, at + len(a), tuple(b))


def _cost(a: Sequence[str], b: Sequence[str]) -> int:
    """Steps of difflib at most: each search for the longest match looks at all pairs of equal lines, and there may be
    as many searches as lines."""
    in_b = Counter(b)
    alike = sum(in_b[line] for line in a)
    return len(a) + len(b) + alike * min(len(a), len(b))


def _between_anchors(a: Sequence[str], b: Sequence[str], at: int, steps: _Steps) -> Iterator[LineChange]:
    anchors = _anchors(a, b) if steps.take(len(a) + len(b)) else []
    if not anchors:
        yield LineChange(at, at + len(a), tuple(b))
        return
    i = j = 0
    for next_i, next_j in [*anchors, (len(a), len(b))]:
        yield from _region(a[i:next_i], b[j:next_j], at + i, steps)
        i, j = next_i + 1, next_j + 1


def _anchors(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Places of lines that occur once in each, as many as are in the same order in both."""
    in_a, in_b = Counter(a), Counter(b)
    place = {line: j for j, line in enumerate(b) if in_b[line] == 1}
    pairs = [(i, place[line]) for i, line in enumerate(a) if in_a[line] == 1 and line in place]
    # Longest increasing run of j: `ends[k]` is the smallest j that ends a run of k + 1 pairs.
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for n, (_, j) in enumerate(pairs):
        k = bisect_left(ends, j)
        ends[k : k + 1] = [j]
        last[k : k + 1] = [n]
        before.append(last[k - 1] if k else -1)
    run, n = [], last[-1] if last else -1
    while n >= 0:
        run.append(pairs[n])
        n = before[n]
    return run[::-1]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A change of theirs and the lines in `current` it left."""

    change: LineChange
    start: int
    stop: int


class _Theirs:
    """Where the base's lines are in the current text. Changes are in order and do not touch, so that each
    question is answered by bisection."""

    def __init__(self, changes: Sequence[LineChange]) -> None:
        self._placed: list[_Placed] = []
        self._starts = [change.start for change in changes]
        self._stops = [change.stop for change in changes]
        shift = 0
        for change in changes:
            start = change.start + shift
            self._placed.append(_Placed(change, start, start + len(change.lines)))
            shift += len(change.lines) - (change.stop - change.start)

    def bring_in(self, edit: LineChange) -> Iterator[LineChange]:
        if edit.start == edit.stop:
            yield from self._insert(edit)
        else:
            yield from self._replace(edit)

    def _insert(self, edit: LineChange) -> Iterator[LineChange]:
        place = bisect_left(self._starts, edit.start)
        there = self._placed[place] if place < len(self._placed) else None
        before = self._placed[place - 1] if place else None
        if there is not None and there.change.start == there.change.stop == edit.start:
            at, lines = _beyond(there, edit.lines)
        elif before is not None and edit.start < before.change.stop:
            at, lines = before.stop, edit.lines
        else:
            at, lines = self._position(edit.start), edit.lines
        if lines:
            yield LineChange(at, at, lines)

    def disputed_by(self, edit: LineChange) -> Iterator[LineChange]:
        """What marks the lines that they made of what this edit deletes."""
        for placed in () if edit.lines else self._rivals(edit):
            if placed.change.lines:
                yield LineChange(placed.start, placed.stop, placed.change.lines, disputed=True)

    def _rivals(self, edit: LineChange) -> list[_Placed]:
        near = self._placed[bisect_right(self._stops, edit.start) : bisect_left(self._starts, edit.stop)]
        return [placed for placed in near if _overlap(placed.change, edit)]

    def _replace(self, edit: LineChange) -> Iterator[LineChange]:
        rivals = self._rivals(edit)
        lines, at = edit.lines, None
        if len(rivals) == 1 and (rivals[0].change.start, rivals[0].change.stop) == (edit.start, edit.stop):
            at, lines = _beyond(rivals[0], lines)
        elif rivals:
            at = rivals[-1].stop
        rivals_there = tuple(i for p in rivals for i in range(p.start, p.stop))
        pieces = list(self._alive(edit.start, edit.stop))
        if at is None:
            first, *pieces = pieces
            yield LineChange(first[0], first[1], lines)
        elif lines:
            pieces = [*(p for p in pieces if p[1] <= at), (at, at), *(p for p in pieces if p[0] >= at)]
        for start, stop in pieces:
            new = lines if (start, stop) == (at, at) else ()
            disputed = bool(new and rivals and not rivals_there)
            yield LineChange(start, stop, new, rivals_there if new else (), disputed)

    def _alive(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Ranges of the current text that hold base lines `start` to before `stop`, unchanged."""
        first = bisect_right(self._stops, start)
        shift = self._shift_before(first)
        for placed in self._placed[first : bisect_left(self._starts, stop)]:
            if placed.change.start > start and start < stop:
                end = min(placed.change.start, stop)
                yield start + shift, end + shift
                start = end
            shift = placed.stop - placed.change.stop
            start = max(start, min(placed.change.stop, stop))
        if start < stop:
            yield start + shift, stop + shift

    def _position(self, line: int) -> int:
        """The place in the current text just before base line `line`."""
        return line + self._shift_before(bisect_left(self._starts, line))

    def _shift_before(self, place: int) -> int:
        """How far the changes before this one moved what follows them."""
        return self._placed[place - 1].stop - self._placed[place - 1].change.stop if place else 0


def _overlap(one: LineChange, other: LineChange) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)


def _beyond(theirs: _Placed, lines: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """What of `lines` they do not have already, and where to put it: after their own, but
    before what both end with."""
    common = theirs.change.lines
    head = _common_prefix(common, lines)
    tail = _common_prefix(common[head:][::-1], lines[head:][::-1])
    return theirs.stop - tail, tuple(lines[head : len(lines) - tail])


def _common_prefix(one: Sequence[str], other: Sequence[str]) -> int:
    length = min(len(one), len(other))
    return next((i for i in range(length) if one[i] != other[i]), length)
