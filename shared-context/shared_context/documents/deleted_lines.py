"""Finds edits of lines that had been deleted when the edit arrived: the one conflict that the shared lines do
not show by themselves. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from shared_context.documents.line import Line, LineRun
from shared_context.documents.line_diff import LineChange
from shared_context.documents.update_format import deleted_runs


class IdSet:
    """Ids of lines, asked for by runs."""

    def __init__(self, runs: Iterable[tuple[int, int, int]]) -> None:
        self._ranges: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for client, start, length in sorted(runs):
            ranges = self._ranges[client]
            if ranges and start <= ranges[-1][1]:
                start, stop = ranges[-1][0], max(ranges.pop()[1], start + length)
            else:
                stop = start + length
            ranges.append((start, stop))

    def holds_any(self, run: LineRun) -> bool:
        ranges = self._ranges.get(run.client, [])
        last = bisect_right(ranges, run.clock + run.length - 1, key=lambda each: each[0]) - 1
        return last >= 0 and ranges[last][1] > run.clock


def disputed_hunks(
    before: Sequence[Line], own_update: bytes, lines: Sequence[Line], in_conflict: Collection[int]
) -> list[LineChange]:
    """What marks hunks as disputed that stand for deleted lines.

    Args:
        before: the document's lines before another replica's update came. What they stood for was replaced, not
            deleted.
        own_update: any of our own from then: each has all deletions.
        lines: after the update came.
        in_conflict: indexes of lines that are in a conflict as it is.
    """
    known = {line.hunk for line in before}
    come = [
        start
        for start, line in enumerate(lines)
        if line.over and line.hunk not in known and start not in in_conflict and not line.is_disputed
    ]
    if not come:
        return []
    deleted = IdSet(deleted_runs(own_update))
    replaced = IdSet(run for line in before if not line.is_disputed for run in line.over)
    return [
        _mark(lines, start)
        for start in come
        if any(deleted.holds_any(run) and not replaced.holds_any(run) for run in lines[start].over)
    ]


def _mark(lines: Sequence[Line], start: int) -> LineChange:
    stop = next((at for at in range(start, len(lines)) if lines[at].hunk != lines[start].hunk), len(lines))
    return LineChange(start, stop, tuple(line.text for line in lines[start:stop]), disputed=True)
