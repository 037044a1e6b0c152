"""Where a session's items go in the handoff documents, and what that makes of their text. Pure.

    decided   PROJECT_CONTEXT "Decisions"; what does not last, SESSION_BRIEFING "Now"
    done      SESSION_BRIEFING "Now"; the to-do or question that it closes leaves
    todo      SESSION_BRIEFING "Next"            stays until it is done or dropped
    question  SESSION_BRIEFING "Open questions"  likewise
    fact      PROJECT_CONTEXT "Facts"
    owner     PORTFOLIO_CONTEXT "About the owner"

"Now" is the last session's: its items are replaced. Everywhere else a session only adds, closes and
supersedes. Lines that are no items, and the rest of the documents, are the owner's and stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

from shared_context.documents.document_names import BRIEFING, PORTFOLIO, PROJECT
from shared_context.documents.line_diff import split_lines, unified_diff
from shared_context.documents.markdown import blocks
from shared_context.documents.starters import starter_text

from orchestrator_core.handoff.item import HandoffItem, Kind, key
from orchestrator_core.handoff.item_line import ItemLine, ItemState, line_of, parse
from orchestrator_core.handoff.markers import titles

NOW_MOST = 10
OLD_MARKS = (
    "<!-- from sessions: the next handoff rewrites what stands up to the end mark -->",
    "<!-- end -->",
)
"""Earlier versions fenced their lines with these."""


@dataclass(frozen=True, slots=True)
class ItemSection:
    """A part of a document that handoffs keep.

    Args:
        name: of its titles in `markers.yaml`.
        heading: for a document that has none of the titles.
        kinds: of the items that stand there.
        replaced: a session's items take the place of the last one's.
        sorted: the most urgent first.
    """

    document: str
    name: str
    heading: str
    kinds: tuple[Kind, ...]
    replaced: bool = False
    sorted: bool = False

    def takes(self, item: HandoffItem) -> bool:
        return item.kind in self.kinds and (
            item.kind is not Kind.DECIDED or item.lasting is not self.replaced
        )


SECTIONS = (
    ItemSection(BRIEFING, "now", "Now", (Kind.DECIDED, Kind.DONE), replaced=True),
    ItemSection(BRIEFING, "next", "Next", (Kind.TODO,), sorted=True),
    ItemSection(BRIEFING, "questions", "Open questions", (Kind.QUESTION,), sorted=True),
    ItemSection(PROJECT, "decisions", "Decisions", (Kind.DECIDED,)),
    ItemSection(PROJECT, "facts", "Facts", (Kind.FACT,)),
    ItemSection(PORTFOLIO, "owner", "About the owner", (Kind.OWNER,)),
)
DOCUMENTS = (PORTFOLIO, PROJECT, BRIEFING)


@dataclass(frozen=True, slots=True)
class Placed:
    """An item as it stands in a document.

    Args:
        number: of its line, from 0.
    """

    section: ItemSection
    number: int
    line: ItemLine


def placed_items(document: str, text: str) -> Iterator[Placed]:
    """The items of a document's sections, in its order."""
    lines = text.split("\n")
    placeholders = _placeholders(document)
    for section in SECTIONS:
        if section.document == document:
            for number in range(*_place(lines, section)):
                if lines[number] not in placeholders and (line := parse(lines[number])) is not None:
                    yield Placed(section, number, line)


def updated(document: str, text: str, items: Sequence[HandoffItem], today: date) -> str:
    """The document with these items in it; unchanged where none concerns it."""
    lines = [line for line in text.replace("\r\n", "\n").rstrip("\n").split("\n") if line not in OLD_MARKS]
    closed = {item.resolves: item for item in items if item.resolves}
    for section in SECTIONS:
        if section.document == document:
            _update(lines, section, items, closed, today)
    result = "\n".join(lines).strip("\n") + "\n"
    return text if result == text.replace("\r\n", "\n") else result


def document_diff(before: str, after: str, name: str) -> str:
    """What changes, for people; "" when nothing does."""
    old, new = (split_lines(text.removesuffix("\n")) for text in (before, after))
    return unified_diff(old, new, f"{name} (now)", f"{name} (draft)")


def _update(
    lines: list[str],
    section: ItemSection,
    items: Sequence[HandoffItem],
    closed: Mapping[str, HandoffItem],
    today: date,
) -> None:
    new = [line_of(item, today) for item in items if section.takes(item)]
    start, stop = _place(lines, section)
    kept: list[str] = []
    old: list[ItemLine] = []
    placeholders = _placeholders(section.document)
    for line in lines[start:stop]:
        item = parse(line)
        if line in placeholders:
            kept += [] if new else [line]
            continue
        if item is None:
            kept.append(line)
            continue
        item = _settled(item, section, closed, today)
        if item is not None and not (section.replaced and new and item.created):
            old.append(item)
            kept.append(str(item) if item.created else line)
    known = {key(item.text) for item in old} | {item.item_id for item in old}
    added = [item for item in new if key(item.text) not in known and item.item_id not in known]
    if section.replaced:
        added = added[-NOW_MOST:]
    if not added and kept == lines[start:stop]:
        return
    body = _arranged(kept, added, section)
    if start == stop == len(lines):
        if not added:
            return
        lines += [*([""] if lines and lines[-1].strip() else []), f"## {section.heading}", "", *body]
    else:
        lines[start:stop] = ["", *body, *([] if stop == len(lines) else [""])]


def _settled(
    item: ItemLine, section: ItemSection, closed: Mapping[str, HandoffItem], today: date
) -> ItemLine | None:
    """What is left of an item after this session: None when it leaves the section."""
    closing = closed.get(item.item_id)
    if section.sorted:  # to-dos and questions: the log says how they ended
        return None if closing is not None or item.state is ItemState.DONE else item
    return item if closing is None or item.state is ItemState.SUPERSEDED else item.superseded(today)


def _arranged(kept: Sequence[str], added: Sequence[ItemLine], section: ItemSection) -> list[str]:
    """The section's lines without empty ones at its ends. New items follow the list that is there; in a
    sorted section all items with an origin are put in order, in the places that they take."""
    body = list(kept)
    while body and not body[-1].strip():
        body.pop()
    while body and not body[0].strip():
        body.pop(0)
    if added and body and parse(body[-1]) is None:
        body.append("")
    body += [str(item) for item in added]
    if section.sorted:
        places = [at for at, line in enumerate(body) if (item := parse(line)) and item.created]
        ordered = sorted((parse(body[at]) for at in places), key=lambda item: item.urgency if item else ())
        for at, item in zip(places, ordered, strict=True):
            body[at] = str(item)
    return body


@cache
def _placeholders(document: str) -> frozenset[str]:
    """The list lines of a document's starter, which say what to write there."""
    return frozenset(line for line in starter_text(document).split("\n") if line.startswith("- "))


def _place(lines: Sequence[str], section: ItemSection) -> tuple[int, int]:
    """The lines of the section, without its heading; both the end of the text when it has none."""
    names = titles(section.name)
    start = level = 0
    for block in blocks(lines):
        if block.kind != "heading":
            continue
        if start and block.level <= level:
            return start, block.start
        if not start and block.title.strip(" :*").casefold() in names:
            start, level = block.stop, block.level
    return (start, len(lines)) if start else (len(lines), len(lines))
