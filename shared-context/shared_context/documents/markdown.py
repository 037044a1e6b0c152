"""The structure of Markdown that this house reads: ATX headings, fenced code, HTML comments.

Follows CommonMark 0.31 for these three at the top level of a document, with one exception: a comment
that is opened and never closed hides nothing. One pass over the lines without a regular expression,
so that the time is proportional to the text whatever it holds. Lines may end in `\\n`, `\\r\\n` or nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

DEEPEST = 6
"""Level of the lowest heading."""

_FIRST_MARKS = "#`~<"
_INDENT = 3
"""Spaces before a heading, fence or comment; with more it is indented code."""


@dataclass(frozen=True, slots=True)
class Block:
    """The lines from `start` up to, not including, `stop`.

    Args:
        kind: a heading is one line, code includes its fences.
        level: of a heading, 1 to 6; otherwise 0.
        title: of a heading, without its marks; comments in it stay.
    """

    kind: Literal["heading", "code", "comment", "blank", "text"]
    start: int
    stop: int
    level: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what follows it, the lines from `start` up to `stop`.

    Args:
        level: 0 for what stands before the first heading.
    """

    start: int
    stop: int
    level: int = 0
    title: str = ""


Breaks = Callable[[str], bool]


def _never(_line: str) -> bool:
    return False


def split_lines(text: str) -> list[str]:
    """Lines with their ends. Only a line feed ends one, as in the shared documents."""
    return io.StringIO(text, newline="\n").readlines()


def blocks(lines: Sequence[str], breaks: Breaks = _never) -> Iterator[Block]:
    """All lines in order, each in one block.

    Args:
        breaks: whether a line ends unclosed code before it, for documents with marks of their own.
    """
    position, may_close = 0, True
    while position < len(lines):
        marks = _marks(lines[position])
        stop = position + 1
        if marks.startswith("#") and (heading := _heading(marks)):
            yield Block("heading", position, stop, *heading)
        elif fence := _fence(marks):
            stop = _after_code(lines, stop, fence, breaks)
            yield Block("code", position, stop)
        elif may_close and marks.startswith("<!--") and (end := _after_comment(lines, position)):
            stop = end
            yield Block("comment", position, stop)
        else:
            may_close = may_close and not marks.startswith("<!--")  # else each one would search to the end
            blank = _is_blank(lines[position])
            while stop < len(lines) and _continues(lines[stop], blank, may_close):
                stop += 1
            yield Block("blank" if blank else "text", position, stop)
        position = stop


def sections(lines: Sequence[str], deepest: int = DEEPEST, breaks: Breaks = _never) -> list[Section]:
    """The document cut at its headings of up to level `deepest`; what precedes the first is one too,
    unless there is nothing."""
    headings = [part for part in blocks(lines, breaks) if part.kind == "heading" and part.level <= deepest]
    stops = [heading.start for heading in headings[1:]] + [len(lines)]
    first = headings[0].start if headings else len(lines)
    before = [Section(0, first)] if first else []
    return before + [
        Section(heading.start, stop, heading.level, heading.title)
        for heading, stop in zip(headings, stops, strict=False)
    ]


def without_comments(text: str) -> str:
    """The text without its HTML comments and the blanks before them; code keeps what looks like one."""
    if "<!--" not in text:
        return text
    lines = split_lines(text)
    parts: list[str] = []
    start = 0
    for block in blocks(lines):
        if block.kind == "code":
            parts += (_strip_comments("".join(lines[start : block.start])), *lines[block.start : block.stop])
            start = block.stop
    return "".join([*parts, _strip_comments("".join(lines[start:]))])


def _marks(line: str) -> str:
    """The line from its first mark on; "" when it is indented too far to be more than text."""
    bare = line.lstrip(" ") if line.startswith(" ") else line
    return bare if len(line) - len(bare) <= _INDENT else ""


def _is_blank(line: str) -> bool:
    return not line or line.isspace()


def _continues(line: str, blank: bool, may_close: bool) -> bool:
    """Whether a line belongs to the text, or to the blank lines, before it."""
    if _is_blank(line):
        return blank
    if blank or line.lstrip(" ")[0] not in _FIRST_MARKS:
        return not blank
    marks = _marks(line)
    return not (
        (marks.startswith("#") and _heading(marks))
        or _fence(marks)
        or (may_close and marks.startswith("<!--"))
    )


def _heading(marks: str) -> tuple[int, str] | None:
    rest = marks.lstrip("#")
    level = len(marks) - len(rest)
    if level > DEEPEST or (rest and not rest[0].isspace()):
        return None
    title = rest.strip()
    open_title = title.rstrip("#")
    if open_title != title and (not open_title or open_title[-1].isspace()):
        title = open_title.rstrip()
    return level, title


def _fence(marks: str) -> str:
    """The mark that opens fenced code; "" for another line."""
    mark = marks[:1]
    if mark not in ("`", "~") or not marks.startswith(mark * 3):
        return ""
    info = marks.lstrip(mark)
    return "" if mark == "`" and "`" in info else marks[: len(marks) - len(info)]


def _after_code(lines: Sequence[str], position: int, fence: str, breaks: Breaks) -> int:
    """Behind the line that closes the code; unclosed code goes on to the end."""
    for at in range(position, len(lines)):
        marks = _marks(lines[at])
        if marks.startswith(fence) and not marks.lstrip(fence[0]).strip():
            return at + 1
        if breaks(lines[at]):
            return at
    return len(lines)


def _after_comment(lines: Sequence[str], position: int) -> int | None:
    """Behind the line that ends the comment; None when it has no end."""
    for at in range(position, len(lines)):
        if "-->" in lines[at]:
            return at + 1
    return None


def _strip_comments(text: str) -> str:
    parts: list[str] = []
    end = 0
    while (start := text.find("<!--", end)) >= 0 and (close := text.find("-->", start + 2)) >= 0:
        parts.append(text[end:start].rstrip(" \t"))
        end = close + 3
    return "".join([*parts, text[end:]])
