"""Keeps SESSION_LOG.md small: its oldest entries move to an archive of their year beside it.

Done by the replica that fills its documents from files, so that two never move the same entry. Archives are
documents like the log itself: merged, searched, on disk and in the history.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared_context.documents.document_names import (
    LOG,
    MAX_DOCUMENT_LINES,
    archive_name,
    document_path,
    project_of,
)
from shared_context.documents.line_diff import LineChange, join_lines
from shared_context.documents.log_entry import ENTRY_LEVEL, log_sections
from shared_context.documents.markdown import Section
from shared_context.documents.store import DocumentStore
from shared_context.documents.text_style import block_at_end

ROLL_CHARS = 64 * 1024
"""A longer log is rolled over: some 100 sessions. An entry costs what the whole log costs to write."""

KEPT_CHARS = ROLL_CHARS // 2
"""Of the newest entries that stay then."""

ARCHIVE_CHARS = 512 * 1024
"""An archive that would become longer gets a successor."""

BLOCK_LINES = 1000
"""Moved at once."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class OldEntries:
    """Neighbouring entries of one year, at most about `BLOCK_LINES`: the lines from `start` up to `stop`."""

    year: str
    start: int
    stop: int


def old_entries(lines: Sequence[str], kept_chars: int, year: str) -> list[OldEntries]:
    """What moves, oldest first; nothing of a log that is kept with its newest entry on top.

    Args:
        kept_chars: of the newest entries, which stay.
        year: of entries without a date, up to the first dated one.
    """
    entries = [part for part in log_sections(lines) if part.level == ENTRY_LEVEL]
    dates = [match.group() for part in entries if (match := _DATE.search(part.title))]
    if not dates or dates[0] > dates[-1]:
        return []
    left = kept_chars - _length(lines, entries.pop())  # the newest stays, however long it is
    while entries and left >= 0:
        left -= _length(lines, entries[-1])
        if left >= 0:
            entries.pop()
    parts: list[OldEntries] = []
    for entry in entries:
        match = _DATE.search(entry.title)
        year = match.group()[:4] if match else year
        if parts and parts[-1].year == year and entry.stop - parts[-1].start <= BLOCK_LINES:
            parts[-1] = OldEntries(year, parts[-1].start, entry.stop)
        else:
            parts.append(OldEntries(year, entry.start, entry.stop))
    return parts


def _length(lines: Sequence[str], entry: Section) -> int:
    return sum(len(line) + 1 for line in lines[entry.start : entry.stop])


def roll_over(store: DocumentStore, path: str, author: str) -> None:
    """Move the oldest entries of the log at `path` when it has become long.

    Each is in its archive before it leaves the log; repeated after a crash, it is not put there twice. A log
    with conflicts waits until they are resolved.

    Raises:
        StoreError.
    """
    memory = store.memory
    state = memory.state(path)
    if path.rpartition("/")[2] != LOG or state is None or len(state.text) <= ROLL_CHARS or state.conflicts:
        return
    lines = memory.texts(path)
    moving = old_entries(lines, KEPT_CHARS, f"{datetime.now(UTC):%Y}")
    for part in moving:
        _archive(store, path, part.year, lines[part.start : part.stop], author)
    if moving:
        summary = f"{path}: older entries moved to their archive"
        store.change(
            path, [LineChange(part.start, part.stop) for part in moving], author=author, summary=summary
        )


def _archive(store: DocumentStore, log: str, year: str, entries: list[str], author: str) -> None:
    text = join_lines(entries).strip("\n")
    number = 1
    while True:
        path = document_path(archive_name(year, number), project_of(log))
        store.track(path)
        lines = store.memory.texts(path)
        present = join_lines(lines)
        if text in present:
            return
        if len(present) + len(text) <= ARCHIVE_CHARS and len(lines) + len(entries) <= MAX_DOCUMENT_LINES // 2:
            break
        if not present:
            break  # one alone is longer
        number += 1
    block = text.split("\n")
    at, new = block_at_end(lines, block if lines else [f"# Session log {year}", "", *block])
    store.change(path, [LineChange(at, at, tuple(new))], author=author, summary=f"{path}: entries of the log")
