"""What the conversation store hands out: plain, frozen values."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, TypedDict

ROLES = frozenset({"system", "user", "assistant", "tool"})
AUTO_TITLE_CHARS = 60
"""About what one line of a conversation list shows."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something that was said. Never changes once stored.

    Args:
        message_id: UUIDv7, unique over all replicas.
        conversation_id: where it was said.
        role: system, user, assistant or tool.
        content: the text.
        created_at: ISO 8601 UTC; later messages of a conversation have later times, also
            when a clock was set back.
        tier: desktop, vps or phone: where it was written or answered.
        model: what answered.
        run_id: the run that produced it.
        reply_to: message_id of the question it answers.
        receipt: what the answer was made from. Of it only the words of messages that are deleted
            later go (see `quotations`).
        supersedes: message_id of the answer that this one takes the place of; see `versions`.
    """

    message_id: str
    conversation_id: str
    role: str
    content: str
    created_at: str
    tier: str | None = None
    model: str | None = None
    run_id: str | None = None
    reply_to: str | None = None
    receipt: dict[str, Any] | None = None
    supersedes: str | None = None


class MessageOrigin(TypedDict, total=False):
    """Where a message comes from; fields of `Message`."""

    tier: str | None
    model: str | None
    run_id: str | None
    reply_to: str | None
    receipt: dict[str, Any] | None
    supersedes: str | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its messages.

    Args:
        title: given by a person, else the beginning of the first user message, else "".
        turn_count: messages of the user.
    """

    conversation_id: str
    title: str
    created_at: str
    updated_at: str
    turn_count: int

    @property
    def cursor(self) -> str:
        """Its present place in a list of conversations."""
        return f"{self.updated_at} {self.conversation_id}"


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One found message.

    Args:
        title: of its conversation.
        snippet: the place in the text that matched, as plain text with … where it is cut.
        score: higher fits better; comparable within one search only.
    """

    message_id: str
    conversation_id: str
    title: str
    role: str
    snippet: str
    created_at: str
    score: float


def message_of(row: sqlite3.Row | dict[str, Any]) -> Message:
    fields = dict(row)
    if fields["receipt"] is not None:
        fields["receipt"] = json.loads(fields["receipt"])
    return Message(**fields)


def conversation_of(row: sqlite3.Row) -> Conversation:
    return Conversation(**dict(row))


def whole_characters(text: str) -> str:
    """`text` without lone surrogates, which UTF-8 cannot carry: each becomes U+FFFD.

    JSON can spell them (`"\\ud800"`); joined pairs become the character they mean.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def auto_title(content: str) -> str | None:
    """The beginning of a message, as one line cut at a word; None when there is nothing to show."""
    # A long message need not be split to its end for its first words.
    line = " ".join(content[: 20 * AUTO_TITLE_CHARS].split())
    line = "".join(character for character in line if character.isprintable())
    if len(line) <= AUTO_TITLE_CHARS:
        return line or None
    cut = line[:AUTO_TITLE_CHARS].rsplit(" ", 1)[0]
    return cut + "…"
