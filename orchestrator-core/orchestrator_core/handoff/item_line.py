"""How an item stands in a document: one list line, with its origin in a comment that no prompt shows. Pure.

    - [ ] Renew the certificate (due 2026-12-03) <!-- item:7k3m9q2a 2026-11-30 0193a2… -->
    - ~~The review is on Tuesday.~~ (until 2026-12-01) <!-- item:… -->

A list line without a comment is an item too: the owner wrote it by hand. Its id follows from its text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from orchestrator_core.handoff.item import MAX_TEXT, HandoffItem, Kind, item_id, key, one_line

_BULLET = re.compile(r"[ \t]{0,12}[-*+] (?:\[([ xX])\] )?")
_ORIGIN = re.compile(r"<!-- item:([0-9a-z]{1,32}) (\d{4}-\d\d-\d\d)(?: ([\w.:-]{1,200}))? -->")
_DUE = re.compile(r" \(due (\d{4}-\d\d-\d\d)\)")
_STRUCK = re.compile(r"~~([^~]{1,2000})~~ \(until (\d{4}-\d\d-\d\d)\)")


class ItemState(StrEnum):
    OPEN = "open"
    DONE = "done"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class ItemLine:
    """
    Args:
        item_id: as in its comment, or made of the text.
        boxed: it has a task list's box.
        created: the day its session ended; None for a line written by hand.
        message_id: of the message that proves it.
        until: the day it was superseded.
    """

    text: str
    item_id: str
    boxed: bool = False
    state: ItemState = ItemState.OPEN
    due: date | None = None
    created: date | None = None
    message_id: str | None = None
    until: date | None = None

    def __str__(self) -> str:
        box = ("[x] " if self.state is ItemState.DONE else "[ ] ") if self.boxed else ""
        due = f" (due {self.due})" if self.due else ""
        body = f"{self.text}{due}"
        if self.state is ItemState.SUPERSEDED:
            body = f"~~{body}~~ (until {self.until})"
        if self.created is None:
            return f"- {box}{body}"
        origin = " ".join(
            part for part in (f"item:{self.item_id}", str(self.created), self.message_id) if part
        )
        return f"- {box}{body} <!-- {origin} -->"

    @property
    def urgency(self) -> tuple[date, date]:
        """Sorts items: the earliest due first, then the oldest."""
        return self.due or date.max, self.created or date.min

    def superseded(self, on: date) -> ItemLine:
        return replace(self, state=ItemState.SUPERSEDED, until=on)

    def reworded(self, text: str) -> ItemLine:
        return replace(self, text=storable(text))


def line_of(item: HandoffItem, today: date) -> ItemLine:
    """The line of a new item. Decisions carry their day, as a decision without one cannot be weighed."""
    text = storable(item.text)
    if item.kind is Kind.DECIDED:
        text = f"{today}: {text}"
    return ItemLine(
        text=text,
        item_id=item.item_id,
        boxed=item.kind is Kind.TODO,
        due=item.due,
        created=today,
        message_id=item.message_id,
    )


def parse(line: str) -> ItemLine | None:
    """The item of a line, or None: it is no list line, or an empty one."""
    bullet = _BULLET.match(line)
    if bullet is None:
        return None
    body = line[bullet.end() :].strip()
    origin = _ORIGIN.search(body)
    if origin is not None:
        body = (body[: origin.start()] + body[origin.end() :]).strip()
    box = bullet.group(1)
    state, until = (ItemState.DONE if box and box in "xX" else ItemState.OPEN), None
    struck = _STRUCK.fullmatch(body)
    if struck is not None:
        body, state, until = struck.group(1), ItemState.SUPERSEDED, _day(struck.group(2))
    due = _DUE.search(body)
    if due is not None:
        body = (body[: due.start()] + body[due.end() :]).strip()
    if not body:
        return None
    return ItemLine(
        text=body,
        item_id=origin.group(1) if origin else item_id(key(body)),
        boxed=box is not None,
        state=state,
        due=_day(due.group(1)) if due else None,
        created=_day(origin.group(2)) if origin else None,
        message_id=origin.group(3) if origin else None,
        until=until,
    )


def is_superseded(line: str) -> bool:
    item = parse(line) if "~~" in line else None
    return item is not None and item.state is ItemState.SUPERSEDED


def storable(text: str) -> str:
    """On one line, without what would end a comment or a strike, at most `MAX_TEXT` characters."""
    line = one_line(text.replace("<!--", "").replace("-->", "").replace("~~", ""))
    if len(line) <= MAX_TEXT:
        return line
    return line[: MAX_TEXT - 1].rsplit(" ", 1)[0] + "…"


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
