"""What a session leaves behind: an item, with its kind and its proof. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

MAX_TEXT = 300
"""Characters of an item's text; longer ones are cut at a word."""
MAX_QUOTE = 500


class Kind(StrEnum):
    """In the order a log entry lists them."""

    ASKED = "asked"
    DECIDED = "decided"
    DONE = "done"
    TODO = "todo"
    QUESTION = "question"
    OWNER = "about_owner"
    """A lasting fact about the owner: a preference, an allergy, a person, a date."""
    FACT = "fact"
    """A lasting fact about the project."""
    FILE = "file"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class HandoffItem:
    """
    Args:
        text: what it says, on one line.
        quote: the words of the message that prove it.
        message_id: of the message that holds the quote.
        by_assistant: the assistant wrote that message.
        due: when a to-do or question must be settled.
        resolves: id of an older item that this one closes or replaces.
        lasting: it holds beyond the next few sessions.
    """

    kind: Kind
    text: str
    quote: str
    message_id: str
    by_assistant: bool = False
    due: date | None = None
    resolves: str | None = None
    lasting: bool = True

    @property
    def item_id(self) -> str:
        """The same for the same words of the same message, so that an item is stored once."""
        return item_id(self.message_id, self.kind, self.quote)


def item_id(*parts: str) -> str:
    """Eight characters that name an item within a household's documents."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:8]


def one_line(text: str) -> str:
    return " ".join(text.split())


def key(text: str) -> str:
    """Equal for texts that differ only in case, white space and punctuation."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def distinct(items: Iterable[HandoffItem]) -> list[HandoffItem]:
    """Each kind and text once, the first of them."""
    seen: dict[tuple[Kind, str], HandoffItem] = {}
    for item in items:
        seen.setdefault((item.kind, key(item.text)), item)
    return list(seen.values())
