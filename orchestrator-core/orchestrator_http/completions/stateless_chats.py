"""Which stored conversation a request belongs to, whose client sends all messages each time and knows no ids.

The conversation is recognised by what was said: an answer like the client's last one is looked up, and the
conversation around it has to read as the client's messages do. Only the new question is ever stored, so
nothing is stored twice. A client that changed what it had said, or took another branch, gets a new conversation;
what it sends of the old one is then part of the prompt, not of the memory.

A question that is sent again because its answer never arrived is the same question: clients tell so with an
`Idempotency-Key`, or count their attempts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator_core.messages import ChatMessage, Role
from shared_context.conversations.messages import Message
from shared_context.errors import ConversationNotFound
from shared_context.storage.identity import ago, new_id

MAX_KEY = 200
RETRIED_WITHIN_S = 1800
"""Clients wait for an answer up to ten minutes before they ask again, and do so twice."""

Said = tuple[str, str]
"""Role and text; clients cut white space from the ends."""


class StoredConversations(Protocol):
    def messages(self, conversation_id: str) -> list[Message]: ...

    def saying(self, role: str, text: str) -> list[Message]:
        """Stored messages of this text, newest first."""

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


@dataclass(frozen=True, slots=True)
class Sending:
    """What a client says of this attempt at a request.

    Args:
        key: the same for all attempts; "" for none.
        is_retry: an earlier attempt got no answer.
    """

    key: str = ""
    is_retry: bool = False

    @classmethod
    def of(cls, header: Callable[[str], str | None]) -> Sending:
        """
        Args:
            header: gives the value of a request's header. The clients that OpenAI and Anthropic publish count
                attempts in `X-Stainless-Retry-Count`.
        """
        attempts = header("X-Stainless-Retry-Count") or ""
        return cls(
            (header("Idempotency-Key") or "")[:MAX_KEY], attempts.isdecimal() and attempts.strip("0") != ""
        )


def place_of(
    messages: Sequence[ChatMessage], conversations: StoredConversations, sending: Sending = Sending()
) -> QuestionPlace:
    """
    Args:
        messages: of user and assistant; the last one is the question.
    """
    *before, question = messages
    earlier = tuple(_said(message) for message in before if message.content.strip())
    last = next((message for message in reversed(before) if message.role is Role.ASSISTANT), None)
    answers = [] if last is None else conversations.saying(Role.ASSISTANT, last.content)
    places = [
        place for answer in answers if (place := _within(answer, earlier, question, conversations, sending))
    ]
    if places:
        return max(places, key=lambda place: -len(place.earlier))
    if sending.key:
        return QuestionPlace(
            _id_of(sending.key, "conversation", earlier, question.content),
            _id_of(sending.key, earlier, question.content),
            earlier=earlier,
        )
    asked = _asked_before(question, conversations) if sending.is_retry else None
    if asked is not None:
        return QuestionPlace(asked.conversation_id, asked.message_id, earlier=earlier)
    return QuestionPlace(new_id(), new_id(), earlier=earlier)


def named_place(
    conversation_id: str, question: ChatMessage, conversations: StoredConversations, sending: Sending
) -> QuestionPlace:
    """That of a client which knows the conversation's id: all that was said is stored there."""
    if sending.key:
        return QuestionPlace(conversation_id, _id_of(sending.key, conversation_id, question.content))
    asked = None
    if sending.is_retry:
        with contextlib.suppress(ConversationNotFound):
            asked = _last_question(conversations.messages(conversation_id))
    if asked is not None and _said(asked) == _said(question):
        return QuestionPlace(conversation_id, asked.message_id)
    return QuestionPlace(conversation_id, "")


def _asked_before(question: ChatMessage, conversations: StoredConversations) -> Message | None:
    """The same question where it lately began a conversation that has not gone on."""
    since = ago(days=RETRIED_WITHIN_S / 86_400)
    for asked in conversations.saying(Role.USER, question.content):
        stored = conversations.messages(asked.conversation_id) if asked.created_at >= since else []
        if len(stored) in (1, 2) and _last_question(stored) == asked:
            return asked
    return None


def _last_question(messages: Sequence[Message]) -> Message | None:
    """The question that is answered by what comes last, if that is one answer, or by nothing yet."""
    *_, before, last = (None, None, *messages)
    return next(
        (message for message in (last, before) if message is not None and message.role == Role.USER), None
    )


def _within(
    answer: Message,
    told: Sequence[Said],
    question: ChatMessage,
    conversations: StoredConversations,
    sending: Sending,
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
    message_id = _id_of(sending.key, answer.conversation_id, answer.message_id, question.content)
    if not after:
        return QuestionPlace(answer.conversation_id, message_id, earlier=earlier)
    asked, *answers = after
    if _said(asked) == _said(question) and len(answers) <= 1:
        is_retry = sending.is_retry or (sending.key and asked.message_id == message_id)
        again = not is_retry and conversations.answer_to(asked.message_id) is not None
        return QuestionPlace(answer.conversation_id, asked.message_id, again, earlier)
    return None


def _said(message: ChatMessage | Message) -> Said:
    return str(message.role), message.content.strip()


def _id_of(key: str, *names: object) -> str:
    text = json.dumps([*names, key] if key else names)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
