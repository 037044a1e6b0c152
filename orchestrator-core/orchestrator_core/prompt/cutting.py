"""Cuts markdown to a number of tokens, at headings, entries, paragraphs and sentences.

Pure: tokens are counted by the function that is passed in. Nothing is ever cut inside a
sentence, a code block or a table row, and what was left out is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from shared_context.documents.document_names import DOCUMENT_NAMES
from shared_context.documents.log_entry import ENTRY_LEVEL, log_sections
from shared_context.documents.markdown import blocks, split_lines

from orchestrator_core.prompt.budget import steady_start

Count = Callable[[str], int]

LEFT_OUT_MARK = "(left out)\n"
"""Stands under a heading whose text did not fit, so that the section does not look empty."""

LONG_PARAGRAPH = 400
"""Characters from which a paragraph may be cut between its sentences."""

_ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])[ \t]")
_SENTENCE = re.compile(r".*?(?:[.!?…。！？][\"')\]»”’]*(?:\s+|$)|[。！？]|$)", re.DOTALL)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2})?")


@dataclass(frozen=True, slots=True)
class Unit:
    """A slice of a document that is kept or left out as a whole. All slices joined are the text.

    Args:
        level: of a heading, 1 to 6; 0 for everything else.
        title: of a heading.
        prose: it may be cut further.
    """

    text: str
    level: int = 0
    title: str = ""
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Lasting:
    """Sections that are kept before all else.

    Args:
        titles: in lower case.
        part: of a budget that they may take.
    """

    titles: Collection[str] = ()
    part: float = 1.0


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


def units(text: str) -> list[Unit]:
    """Headings, paragraphs, list items, table rows, code blocks; long paragraphs by sentence.
    Blank lines belong to what stands before them."""
    return [piece for block in _blocks(text) for piece in _pieces(block)]


def entries(text: str) -> tuple[str, list[str]]:
    """The journal's introduction and its entries, oldest first.

    An entry begins at a heading of level two, or of level one after the first line. A journal
    whose dated headings run from new to old is turned round.
    """
    lines = split_lines(text)
    parts = log_sections(lines)
    introductions = [part for part in parts[:1] if part.level < ENTRY_LEVEL]
    joined = ["".join(lines[part.start : part.stop]) for part in parts]
    introduction, joined = "".join(joined[: len(introductions)]), joined[len(introductions) :]
    dates = [match.group() if (match := _DATE.search(entry.split("\n", 1)[0])) else "" for entry in joined]
    if len(joined) > 1 and dates[0] and dates[-1] and dates[0] > dates[-1]:
        joined = [entry.rstrip("\n") + "\n\n" for entry in reversed(joined)]
    return introduction, joined


def cut_document(text: str, budget: int, count: Count, lasting: Lasting = Lasting()) -> Cut:
    """The beginning of the document and, where they fit in a quarter of the budget, the
    headings of what follows."""
    whole = _blocks(text)
    headings, used = _kept_headings(whole, budget // 4, count, count(LEFT_OUT_MARK))
    first = _sections(whole, lasting.titles)
    set_aside = _cost(
        (whole[position] for position in sorted(first - headings)), count, int(lasting.part * (budget - used))
    )
    left = {True: set_aside, False: budget - used - set_aside}
    parts: list[Unit] = []
    kept: set[int] = set()
    for position, block in enumerate(whole):
        lasts = position in first
        # Once the budget is spent nothing is looked into: a document may have a million sentences.
        for piece in _pieces(block) if left[lasts] >= 0 else (block,):
            if position not in headings and left[lasts] >= 0:
                left[lasts] -= count(piece.text)
            if position in headings or left[lasts] >= 0:
                kept.add(len(parts))
            parts.append(piece)
            if left[lasts] < 0:
                break
    return _composed(parts, kept, count)


def lasting_tokens(text: str, lasting: Lasting, budget: int, count: Count) -> int:
    """What of the budget these sections take."""
    whole = _blocks(text)
    positions = sorted(_sections(whole, lasting.titles))
    return _cost((whole[position] for position in positions), count, int(lasting.part * budget))


def _sections(whole: Sequence[Unit], names: Collection[str]) -> set[int]:
    """Positions of the sections with these titles, their headings and subsections included."""
    positions: set[int] = set()
    level = 0
    for position, block in enumerate(whole if names else ()):
        if block.level and (not level or block.level <= level):
            level = block.level if block.title.strip(" :*").casefold() in names else 0
        if level:
            positions.add(position)
    return positions


def _cost(wanted: Iterable[Unit], count: Count, most: int) -> int:
    """Tokens of all together; `most` when they are more, and then no more is counted."""
    total = 0
    for piece in (piece for block in wanted for piece in _pieces(block)):
        total += count(piece.text)
        if total >= most:
            return most
    return total


def cut_log(text: str, budget: int, count: Count) -> Cut:
    """The newest entries, oldest of them first; dropped in large steps (see `steady_start`).

    When not even the newest fits, its beginning stays.
    """
    introduction, log_entries = entries(text)
    if not log_entries:
        return cut_document(text, budget, count)
    room = budget - count(introduction)
    if room < budget // 2:
        introduction, room = "", budget
    costs: list[int] = []
    for entry in reversed(log_entries):
        costs.insert(0, count(entry))
        if sum(costs) > room:
            break
    unseen = len(log_entries) - len(costs)
    start = unseen + steady_start(costs, room, unseen)
    titles = tuple(_entry_title(entry) for entry in log_entries[:start])
    if start < len(log_entries):
        kept = introduction + "".join(log_entries[start:])
        return Cut(kept, count(kept), titles)
    newest = cut_document(log_entries[-1], budget, count)
    return Cut(
        newest.text, newest.tokens, (*titles[:-1], f"part of {titles[-1]}" if newest.text else titles[-1])
    )


@lru_cache(maxsize=len(DOCUMENT_NAMES))
def _blocks(text: str) -> list[Unit]:
    """Remembered, as one document is cut several times until its note fits as well."""
    lines = split_lines(text)
    whole: list[Unit] = []
    for block in blocks(lines):
        part = "".join(lines[block.start : block.stop])
        if block.kind == "blank" and whole:
            whole[-1] = replace(whole[-1], text=whole[-1].text + part)
        else:
            whole.append(Unit(part, block.level, block.title, block.kind == "text"))
    return whole


def _pieces(block: Unit) -> Iterator[Unit]:
    """A run of lines of text cut before each list item and table row, long ones at sentences."""
    if not block.prose:
        yield block
        return
    paragraph: list[str] = []
    for line in split_lines(block.text):
        if paragraph and _starts_item(line):
            yield from _sentences("".join(paragraph))
            paragraph = []
        paragraph.append(line)
    yield from _sentences("".join(paragraph))


def _starts_item(line: str) -> bool:
    bare = line.lstrip()
    return bare.startswith("|") or _ITEM.match(bare) is not None


def _sentences(block: str) -> Iterator[Unit]:
    if len(block) < LONG_PARAGRAPH or block.lstrip().startswith("|"):
        yield Unit(block)
        return
    for part in _SENTENCE.finditer(block):
        sentence = part.group()
        # A long one is no prose: a list of lines without a full stop.
        lines = [sentence] if len(sentence) < LONG_PARAGRAPH else split_lines(sentence)
        yield from (Unit(line) for line in lines if line)


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
