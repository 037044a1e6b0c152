"""Which stored conversation a request belongs to, whose client sends all messages each time and knows no ids.

The conversation is recognised by what was said: an answer like the client's last one is looked up, and the
conversation around it has to read as the client's messages do. Only the new question is ever stored, so
nothing is stored twice. A client that changed what it had said, or took another branch, gets a new conversation;
what it sends of the old one is then part of the prompt, not of the memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator_core.messages import ChatMessage, Role
from shared_context.conversations.messages import Message
from shared_context.storage.identity import new_id

Said = tuple[str, str]
"""Role and text; clients cut white space from the ends."""


class StoredConversations(Protocol):
    def messages(self, conversation_id: str) -> list[Message]: ...

    def answers_saying(self, text: str) -> list[Message]:
        """Stored answers of this text, newest first."""

    def answer_to(self, message_id: str) -> Message | None: ...


@dataclass(frozen=True, slots=True)
class QuestionPlace:
    """Where a question belongs.

    Args:
        message_id: of the question. The same request made twice has the same one.
        again: the question is stored and answered: it is asked for another answer.
        earlier: what the client says was said before the stored conversation begins.
    """

    conversation_id: str
    message_id: str
    again: bool = False
    earlier: tuple[Said, ...] = ()


def place_of(messages: Sequence[ChatMessage], conversations: StoredConversations) -> QuestionPlace:
    """
    Args:
        messages: of user and assistant; the last one is the question.
    """
    *before, question = messages
    told = tuple(_said(message) for message in before if message.content.strip())
    last = next((message for message in reversed(before) if message.role is Role.ASSISTANT), None)
    found = [] if last is None else conversations.answers_saying(last.content)
    places = [place for answer in found if (place := _within(answer, told, question, conversations))]
    if places:
        return max(places, key=lambda place: -len(place.earlier))
    return QuestionPlace(new_id(), new_id(), earlier=told)


def _within(
    answer: Message, told: Sequence[Said], question: ChatMessage, conversations: StoredConversations
) -> QuestionPlace | None:
    """The question's place after this answer; None when it was not said after it."""
    stored = [
        message for message in conversations.messages(answer.conversation_id) if message.content.strip()
    ]
    ids = [message.message_id for message in stored]
    if answer.message_id not in ids:
        return None  # another version took its place
    end = ids.index(answer.message_id) + 1
    known = tuple(_said(message) for message in stored[:end])
    common = min(len(known), len(told))
    if known[-common:] != tuple(told[-common:]):
        return None
    earlier = tuple(told[: len(told) - common])
    after = stored[end:]
    if not after:
        return QuestionPlace(answer.conversation_id, _id_after(answer, question), earlier=earlier)
    asked, *answers = after
    if _said(asked) == _said(question) and len(answers) <= 1:
        again = conversations.answer_to(asked.message_id) is not None
        return QuestionPlace(answer.conversation_id, asked.message_id, again, earlier)
    return None


def _said(message: ChatMessage | Message) -> Said:
    return str(message.role), message.content.strip()


def _id_after(answer: Message, question: ChatMessage) -> str:
    text = json.dumps([answer.conversation_id, answer.message_id, question.content])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
