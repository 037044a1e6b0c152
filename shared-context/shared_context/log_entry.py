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
from collections.abc import Sequence
from datetime import UTC, datetime

from shared_context.errors import DocumentRejected

_MARK = re.compile(r"<!-- entry:([^\s>]+) -->")
_ID = re.compile(r"[A-Za-z0-9]+([._:-][A-Za-z0-9]+)*")
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
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


def entry_id_of(line: str) -> str | None:
    """The id in a heading line, if it carries one."""
    found = _MARK.search(line) if line.startswith("#") else None
    return found.group(1) if found else None


def is_entry_start(line: str) -> bool:
    """Whether a new entry (or section) of the log begins with this line."""
    return line.startswith(("# ", "## "))


def find_entry(lines: Sequence[str], entry_id: str) -> tuple[int, int] | None:
    """Where the entry's lines are, as (start, stop), or None."""
    for start, line in enumerate(lines):
        if entry_id_of(line) == entry_id:
            stop = start + 1
            while stop < len(lines) and not is_entry_start(lines[stop]):
                stop += 1
            return start, stop
    return None


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
