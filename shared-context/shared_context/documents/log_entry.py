"""Entries of SESSION_LOG.md: how one is written, found again, and told from its neighbours.

An entry is a block of lines that starts with a dated heading:

    ## 2026-10-05 14:03 UTC · desktop <!-- entry:01k6v3 -->

    What was done, decided, left open.

The id in the comment is invisible in rendered markdown and stays when the rest of the entry is
edited by hand. Entries written by hand without an id are entries too: any heading of level
one or two ends the one before.
"""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from shared_context.documents.markdown import Section, sections
from shared_context.errors import DocumentRejected

_MARK = re.compile(r"<!-- entry:([^\s>]+) -->")
_ID = re.compile(r"[A-Za-z0-9]+([._:-][A-Za-z0-9]+)*")
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
AUTHOR = r"[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,63}"
"""What an author may be called: it stands in headings and in git's history, so no marks of either."""
ENTRY_LEVEL = 2
"""A heading of this level or above ends the entry before it."""
_ID_LENGTH = 8
"""40 random bits: short, since every character costs the model tokens, yet two entries of one
log meet by chance only once in a million million pairs."""


def new_entry_id() -> str:
    """A short id for an entry whose author gave none."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


def check_entry_id(entry_id: str) -> str:
    """The id itself.

    Raises:
        DocumentRejected: longer than 64 characters, or not letters and digits with single
            `.`, `_`, `:` or `-` between them (a double dash would end the comment).
    """
    if len(entry_id) > 64 or not _ID.fullmatch(entry_id):
        raise DocumentRejected(
            f"The entry id {entry_id[:80]!r} cannot be used.",
            "Use up to 64 letters and digits, with single dots, dashes, colons or underscores between.",
        )
    return entry_id


def check_author(author: str) -> str:
    """The name itself.

    Raises:
        DocumentRejected: it is not like `AUTHOR`.
    """
    if not re.fullmatch(AUTHOR, author):
        raise DocumentRejected(
            f"The author {author[:80]!r} cannot be used.",
            "Use up to 64 letters, digits, spaces, dots, dashes and underscores.",
        )
    return author


def entry_id_of(line: str) -> str | None:
    """The id in a heading line, if it carries one."""
    match = _MARK.search(line) if line.startswith("#") else None
    return match.group(1) if match else None


def log_sections(lines: Sequence[str]) -> list[Section]:
    """The log cut at its entries. One with an id begins a new entry also where the text before it
    opened code and never closed it."""
    return sections(lines, ENTRY_LEVEL, lambda line: entry_id_of(line) is not None)


def find_entry(lines: Sequence[str], entry_id: str) -> tuple[int, int] | None:
    """Where the entry's lines are, as (start, stop), or None."""
    if not any(entry_id in line for line in lines):
        return None  # most often, and far cheaper than to read the structure
    return next((place for marked, place in _marked_entries(lines) if marked == entry_id), None)


def same_entries(lines: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Entries that are there more than once with the same id and text, as (start, stop) each.

    That happens when a phone delivered an entry to two tiers that could not see each other; the
    headings may differ in the minute.
    """
    places: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for entry_id, (start, stop) in _marked_entries(lines):
        places[entry_id, "\n".join(lines[start + 1 : stop]).strip()].append((start, stop))
    return [entries for entries in places.values() if len(entries) > 1]


def _marked_entries(lines: Sequence[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Entries that carry an id, as id and (start, stop)."""
    for section in log_sections(lines):
        if section.level and (entry_id := entry_id_of(lines[section.start])) is not None:
            yield entry_id, (section.start, section.stop)


def entry_lines(text: str, entry_id: str, author: str, at: datetime | None = None) -> list[str]:
    """The entry as lines: heading, empty line, the text without surrounding empty lines.

    Raises:
        DocumentRejected: there is no text.
    """
    body = text.replace("\r\n", "\n").strip("\n")
    if not body.strip():
        raise DocumentRejected("The log entry is empty.", "Say in a few words what happened.")
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    heading = f"## {moment:%Y-%m-%d %H:%M} UTC · {author} <!-- entry:{entry_id} -->"
    return [heading, "", *body.split("\n")]
