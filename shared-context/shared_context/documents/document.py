"""What one sees of a handoff document: its text, its versions, its conflicts."""

from __future__ import annotations

from dataclasses import dataclass

VERSION_DIGITS = 12
"""Of git's 40: enough to tell a document's versions apart."""


@dataclass(frozen=True, slots=True)
class Document:
    """One handoff document at one moment.

    `version` names the text: equal texts have equal versions, and it is git's own id of the
    text, so `git show <version>` in the history prints it. `updated_at` is ISO 8601 UTC,
    `author` the device that wrote this version, `conflicts` how many places wait for a person.
    """

    name: str
    text: str
    version: str
    updated_at: str
    author: str
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """One earlier or present state of a document: `at` is ISO 8601 UTC, `summary` one line."""

    version: str
    author: str
    at: str
    summary: str


@dataclass(frozen=True, slots=True)
class ConflictSide:
    """What one device wrote; the empty text: it deleted what the other side changed."""

    author: str
    text: str


@dataclass(frozen=True, slots=True)
class LineConflict:
    """A place two devices changed at once. All texts are in the document, the first side
    beginning at line `line` (from 1), until a person resolves it."""

    conflict_id: str
    name: str
    line: int
    sides: tuple[ConflictSide, ...]
