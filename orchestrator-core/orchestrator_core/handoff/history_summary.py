"""What stands in a prompt for turns that no longer fit the window: their own sentences. Pure.

The text depends only on the turns that left and the room there is, so it stays the same, and the
engine need not read it again, until the next large step in which turns leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared_context.conversations.messages import Message

from orchestrator_core.handoff.entry import HEADINGS
from orchestrator_core.handoff.extract import extract, newest

VERSION = 3
"""Of what `summary` writes; another one makes stored summaries unfit."""
LEAST_WINDOW = 1024
"""A smaller window has no room for it beside the question."""
PART = 16
"""The room is one part in so many of the window."""
MOST_TOKENS = 512
MOST_MESSAGES = 1000
"""The newest of those that left; what is older than that, search finds."""
MOST_TEXT = 100_000
"""Characters of them: an answer waits for this when turns leave."""
OPENING = "[Earlier in this conversation, word for word:"
CLOSING = "]"


def room_of(window: int) -> int:
    """Tokens kept for a summary once turns leave; 0: there is none."""
    return min(window // PART, MOST_TOKENS) if window >= LEAST_WINDOW else 0


def summary(left: Sequence[Message], max_tokens: int, count: Callable[[str], int]) -> str:
    """The marked sentences and the questions of these messages in at most `max_tokens`, the newest when
    not all fit; "" when there are none.

    Args:
        left: oldest first.
        count: tokens of a text.
    """
    items = extract(newest(left[-MOST_MESSAGES:], MOST_TEXT))
    lines = [f"{HEADINGS[item.kind]} {item.quote}" for item in items]
    kept: list[str] = []
    for line in reversed(lines):
        if count(_text([line, *kept])) <= max_tokens:
            kept.insert(0, line)
    return _text(kept) if kept else ""


def _text(lines: Sequence[str]) -> str:
    return "\n".join([OPENING, *lines]) + CLOSING
