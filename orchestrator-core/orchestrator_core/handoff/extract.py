"""The items of a session that say themselves what they are, without a model. Pure.

Few and right: what a person wrote behind an explicit marker, and else the questions that were asked.
A missed item stays in the conversation, where search finds it; an invented one would mislead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date

from shared_context.conversations.messages import Message

from orchestrator_core.handoff.credentials import holds_credential
from orchestrator_core.handoff.item import MAX_QUOTE, HandoffItem, Kind, distinct, key
from orchestrator_core.handoff.markers import is_question, kind_of
from orchestrator_core.handoff.sentences import Sentence, sentences
from orchestrator_core.messages import Role

MOST_ITEMS = 10
ISO_DAY = len("2026-12-03")
LEAST_QUESTION = 10
"""Characters of a question worth a line: not `Why?`"""


def extract(messages: Sequence[Message]) -> list[HandoffItem]:
    """At most `MOST_ITEMS` items of these messages (oldest first), in the order they were said.

    Marked sentences first, the newest of them when there are too many; the room that is left is for the
    owner's questions, the first one always: it is what the session was about.
    """
    by_person = [(message, sentences(message.content)) for message in messages if message.role == Role.USER]
    places = {message.message_id: place for place, message in enumerate(messages)}
    checked = {text: places[message_id] for text, message_id in _checked(messages).items()}
    every = [
        item
        for item in distinct(item for message, parts in by_person for item in _items(message, parts))
        if item.kind is not Kind.TODO or checked.get(key(item.text), -1) < places[item.message_id]
    ]
    asked = [item for item in every if item.kind is Kind.ASKED]
    marked = [item for item in every if item.kind is not Kind.ASKED][-MOST_ITEMS:]
    room = MOST_ITEMS - len(marked)
    kept = {*marked, *asked[: min(room, 1)], *(asked[-(room - 1) :] if room > 1 else [])}
    return [item for item in every if item in kept]


def _checked(messages: Sequence[Message]) -> dict[str, str]:
    """Texts of boxes that somebody checked, the assistant too, with the message that has the last of them."""
    return {
        key(sentence.text): message.message_id
        for message in messages
        if "[x]" in message.content.lower()
        for sentence in sentences(message.content)
        if sentence.checked
    }


def newest(messages: Sequence[Message], most_chars: int) -> Sequence[Message]:
    """The newest messages with at most so many characters together, but at least one."""
    left = most_chars
    for position in range(len(messages) - 1, -1, -1):
        left -= len(messages[position].content)
        if left < 0:
            return messages[min(position + 1, len(messages) - 1) :]
    return messages


def _items(message: Message, parts: Sequence[Sentence]) -> Iterator[HandoffItem]:
    for sentence in parts:
        if not _is_storable(sentence.text):
            continue
        named = kind_of(sentence)
        if named is not None:
            kind, text = named
            yield HandoffItem(kind, text, sentence.text, message.message_id, due=_due(text))
        elif is_question(sentence.text) and len(sentence.text) >= LEAST_QUESTION:
            yield HandoffItem(Kind.ASKED, sentence.text, sentence.text, message.message_id)


def _is_storable(text: str) -> bool:
    """Whether a line can stand in a document: bounded, no comment marks, nothing that looks secret."""
    return (
        0 < len(text) <= MAX_QUOTE and "<!--" not in text and "-->" not in text and not holds_credential(text)
    )


def _due(text: str) -> date | None:
    """A day written as ISO 8601 has it."""
    for word in text.split():
        day = word.strip(".,;:()[]")
        if len(day) == ISO_DAY:
            with suppress(ValueError):
                return date.fromisoformat(day)
    return None
