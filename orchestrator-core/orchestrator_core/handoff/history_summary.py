"""What stands in a prompt for turns that no longer fit the window: their own sentences. Pure.

The text depends only on the turns that left and the room there is, so it stays the same, and the
engine need not read it again, until the next large step in which turns leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared_context.conversations.messages import Message

from orchestrator_core.handoff.entry import BY_ASSISTANT, HEADINGS, chosen
from orchestrator_core.handoff.extract import Extract, extract, newest
from orchestrator_core.handoff.named import NameKind

VERSION = 2
"""Of what `summary` writes; another one makes stored summaries unfit."""
LEAST_WINDOW = 1024
"""A smaller window has no room for it beside the question."""
PART = 16
"""The room is one part in so many of the window."""
MOST_TOKENS = 512
MOST_MESSAGES = 1000
"""The newest of those that left; what is older than that, search finds."""
MOST_TEXT = 100_000
"""Characters of them: an answer waits for this, about half a second, when turns leave."""
OPENING = "[Earlier in this conversation, word for word:"
CLOSING = "]"
_TRIES = 6
_CHARS_PER_TOKEN = 4
_NAMES_PART = 4


def room_of(window: int) -> int:
    """Tokens kept for a summary once turns leave; 0: there is none."""
    return min(window // PART, MOST_TOKENS) if window >= LEAST_WINDOW else 0


def summary(left: Sequence[Message], max_tokens: int, count: Callable[[str], int]) -> str:
    """The weightiest sentences of these messages in at most `max_tokens`; "" when there are none.

    Args:
        left: oldest first.
        count: tokens of a text.
    """
    found = extract(newest(left[-MOST_MESSAGES:], MOST_TEXT))
    chars = max_tokens * _CHARS_PER_TOKEN
    for _ in range(_TRIES):
        text = _text(found, chars)
        if not text:
            return ""
        tokens = count(text)
        if tokens <= max_tokens:
            return text
        chars = int(0.95 * min(chars, len(text)) * max_tokens / tokens)
    return ""


def _text(found: Extract, max_chars: int) -> str:
    names = _names(found, max_chars // _NAMES_PART)
    facts = chosen(found.facts, max_chars - len(names))
    if not facts:
        return ""
    lines = [
        f"{HEADINGS[fact.kind]} {BY_ASSISTANT if fact.by_assistant else ''}{fact.text}" for fact in facts
    ]
    return "\n".join([OPENING, *lines, *([names] if names else [])]) + CLOSING


def _names(found: Extract, max_chars: int) -> str:
    listed: list[str] = []
    left = max_chars
    for name in found.names:
        if name.kind in (NameKind.FILE, NameKind.ADDRESS, NameKind.VERSION):
            left -= len(name.text) + 2
            if left < 0:
                break
            listed.append(name.text)
    return f"Named: {', '.join(listed)}" if listed else ""
