"""Cuts markdown to a number of tokens, at headings, entries, paragraphs and sentences.

Pure: tokens are counted by the function that is passed in. Nothing is ever cut inside a
sentence, a code block or a table row, and what was left out is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator_core.prompt.budget import steady_start

Count = Callable[[str], int]

LEFT_OUT_MARK = "(left out)\n"
"""Stands under a heading whose text did not fit, so that the section does not look empty."""

LONG_PARAGRAPH = 400
"""Characters from which a paragraph may be cut between its sentences."""

_COMMENT = re.compile(r"[ \t]*<!--.*?-->", re.DOTALL)
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})")
_SENTENCE = re.compile(r".*?(?:[.!?…。！？][\"')\]»”’]*(?:\s+|$)|[。！？]|$)", re.DOTALL)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2})?")


@dataclass(frozen=True, slots=True)
class Unit:
    """A slice of a document that is kept or left out as a whole. All slices joined are the text.

    Args:
        level: of a heading, 1 to 6; 0 for everything else.
    """

    text: str
    level: int = 0

    @property
    def title(self) -> str:
        found = _HEADING.match(self.text.strip("\n"))
        return found.group(2) if found else ""


@dataclass(frozen=True, slots=True)
class Cut:
    """What of a document fits.

    Args:
        text: empty when nothing fits.
        tokens: of `text`.
        left_out: titles of sections or entries that are missing, wholly or in part.
    """

    text: str
    tokens: int
    left_out: tuple[str, ...] = ()


def without_comments(text: str) -> str:
    """Markdown without HTML comments: notes for the author, entry ids. Rendered markdown does
    not show them either. An opened comment that is never closed stays."""
    return _COMMENT.sub("", text)


def units(text: str) -> list[Unit]:
    """Headings, paragraphs, list items, table rows, code blocks; long paragraphs by sentence."""
    found: list[Unit] = []
    block: list[str] = []
    fence = ""

    def close() -> None:
        if block:
            found.extend(_sentences("".join(block)))
            block.clear()

    for line in text.splitlines(keepends=True):
        opened = _FENCE.match(line)
        heading = _HEADING.match(line.rstrip("\n"))
        if fence:
            block.append(line)
            if opened and opened.group(1).startswith(fence) and not line.strip().strip("`~"):
                found.append(Unit("".join(block)))
                block.clear()
                fence = ""
        elif opened:
            close()
            fence = opened.group(1)
            block.append(line)
        elif heading:
            close()
            found.append(Unit(line, len(heading.group(1))))
        elif not line.strip():
            _append_blank(found, block, line)
            close()
        else:
            if _starts_item(line):
                close()
            block.append(line)
    if fence:
        found.append(Unit("".join(block)))
    else:
        close()
    return found


def entries(text: str) -> tuple[str, list[str]]:
    """The journal's introduction and its entries, oldest first.

    An entry begins at a heading of level two, or of level one after the first line. A journal
    whose dated headings run from new to old is turned round.
    """
    introduction: list[str] = []
    found: list[list[str]] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        opened = _FENCE.match(line)
        if opened:
            fence = "" if fence and opened.group(1).startswith(fence) else fence or opened.group(1)
        starts = not fence and (line.startswith("## ") or (line.startswith("# ") and bool(introduction)))
        if starts:
            found.append([line])
        elif found:
            found[-1].append(line)
        else:
            introduction.append(line)
    joined = ["".join(lines) for lines in found]
    dates = [match.group() if (match := _DATE.search(entry.split("\n", 1)[0])) else "" for entry in joined]
    if len(joined) > 1 and dates[0] and dates[-1] and dates[0] > dates[-1]:
        joined = [entry.rstrip("\n") + "\n\n" for entry in reversed(joined)]
    return "".join(introduction), joined


def cut_document(text: str, budget: int, count: Count) -> Cut:
    """The beginning of the document and, where they fit in a quarter of the budget, the
    headings of what follows."""
    parts = units(text)
    mark = count(LEFT_OUT_MARK)
    kept, used = _kept_headings(parts, budget // 4, count, mark)
    left = budget - used
    for position, part in enumerate(parts):
        if position in kept:
            continue
        left -= count(part.text)
        if left < 0:
            break
        kept.add(position)
    return _composed(parts, kept, count)


def cut_log(text: str, budget: int, count: Count) -> Cut:
    """The newest entries, oldest of them first; dropped in large steps (see `steady_start`).

    When not even the newest fits, its beginning stays.
    """
    introduction, found = entries(text)
    if not found:
        return cut_document(text, budget, count)
    room = budget - count(introduction)
    if room < budget // 2:
        introduction, room = "", budget
    costs: list[int] = []
    for entry in reversed(found):
        costs.insert(0, count(entry))
        if sum(costs) > room:
            break
    unseen = len(found) - len(costs)
    start = unseen + steady_start(costs, room, unseen)
    titles = tuple(_entry_title(entry) for entry in found[:start])
    if start < len(found):
        kept = introduction + "".join(found[start:])
        return Cut(kept, count(kept), titles)
    newest = cut_document(found[-1], budget, count)
    return Cut(
        newest.text, newest.tokens, (*titles[:-1], f"part of {titles[-1]}" if newest.text else titles[-1])
    )


def _append_blank(found: list[Unit], block: list[str], line: str) -> None:
    """Blank lines belong to what stands before them."""
    if block:
        block.append(line)
    elif found:
        found[-1] = Unit(found[-1].text + line, found[-1].level)
    else:
        found.append(Unit(line))


def _starts_item(line: str) -> bool:
    return re.match(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]", line) is not None or line.lstrip().startswith("|")


def _sentences(block: str) -> list[Unit]:
    if len(block) < LONG_PARAGRAPH or block.lstrip().startswith("|"):
        return [Unit(block)]
    found: list[Unit] = []
    for part in _SENTENCE.finditer(block):
        sentence = part.group()
        if len(sentence) < LONG_PARAGRAPH:
            lines = [sentence] if sentence else []
        else:  # no prose: a long list of lines without a full stop
            lines = sentence.splitlines(keepends=True)
        found.extend(Unit(line) for line in lines)
    return found


def _kept_headings(parts: Sequence[Unit], budget: int, count: Count, mark: int) -> tuple[set[int], int]:
    """Positions of headings that stay in any case, the highest levels first, and their tokens
    with a mark under each."""
    kept: set[int] = set()
    used = 0
    for level in range(1, 4):
        for position, part in enumerate(parts):
            if part.level == level:
                cost = count(part.text) + mark
                if used + cost > budget:
                    return kept, used
                kept.add(position)
                used += cost
    return kept, used


def _composed(parts: Sequence[Unit], kept: set[int], count: Count) -> Cut:
    out: list[str] = []
    left_out: list[str] = []
    title, missing = "", False

    def close_section() -> None:
        if missing:
            left_out.append(title or "the beginning")
            if out and not out[-1].endswith(LEFT_OUT_MARK):
                out[-1] = out[-1].rstrip() + "\n" if out[-1].strip() else ""
                out.append(LEFT_OUT_MARK)

    for position, part in enumerate(parts):
        if part.level:
            close_section()
            title, missing = part.title, position not in kept
        elif position not in kept and part.text.strip():
            missing = True
        if position in kept:
            out.append(part.text)
    close_section()
    text = "".join(out)
    if not any(part.text.strip() and not part.level for at, part in enumerate(parts) if at in kept):
        text = ""
    return Cut(text, count(text) if text else 0, tuple(left_out))


def _entry_title(entry: str) -> str:
    return entry.split("\n", 1)[0].lstrip("#").strip()
