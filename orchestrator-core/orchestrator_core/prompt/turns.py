"""Stored messages as turns, and turns as the text the model reads.

A turn is a question with its answers. Each question carries the time it was asked and what was
recalled for its first answer, both taken from what was stored, so the same turn reads the same
ever after and the prefix stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from shared_context.conversations.messages import Message

from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.recalled import recalled_before


@dataclass(frozen=True, slots=True)
class Turn:
    """What is kept or dropped as a whole.

    Args:
        stored: the messages it was made from.
    """

    messages: tuple[ChatMessage, ...]
    stored: tuple[Message, ...] = field(default=(), compare=False, repr=False)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(message.content for message in self.messages)


def question_text(
    message: str,
    created_at: str,
    *,
    recalled: str = "",
    context: str | None = None,
    zone: tzinfo | None = None,
) -> str:
    """A user message as the model reads it: time, recalled passages, extra context, words.

    Args:
        created_at: ISO 8601; what is no time gives no time line.
        recalled: passages from elsewhere in the memory, as one block.
        context: extra text for this answer only. It stands here and not in the system text,
            which would change the whole prompt; in later turns it is gone.
        zone: for the time line; None is this machine's. The line tells the offset.
    """
    extra = f"Additional context:\n{context.strip()}" if context and context.strip() else ""
    return "\n\n".join(part for part in (time_line(created_at, zone), recalled, extra, message) if part)


def time_line(created_at: str, zone: tzinfo | None = None) -> str:
    """For example `[Friday, 2026-10-02 14:03 UTC+02:00]`."""
    try:
        moment = datetime.fromisoformat(created_at).astimezone(zone)
    except (ValueError, OverflowError):
        return ""
    offset = moment.strftime("%z")
    return f"[{_DAYS[moment.weekday()]}, {moment:%Y-%m-%d %H:%M} UTC{offset[:3]}:{offset[3:5]}]"


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
"""Not strftime's %A: that depends on the machine's language."""


def turns_of(messages: Sequence[Message], zone: tzinfo | None = None) -> list[Turn]:
    """Turns in the order the questions were asked.

    An answer that names its question follows it, also when another question was asked
    meanwhile. Answers before the first question, and messages of other roles, are no turn.
    """
    answers: dict[str, list[Message]] = {}
    questions: list[Message] = []
    for message in messages:
        if message.role == Role.USER:
            questions.append(message)
            answers.setdefault(message.message_id, [])
        elif message.role == Role.ASSISTANT and message.content:
            last = questions[-1].message_id if questions else None
            owner = message.reply_to if message.reply_to in answers else last
            if owner is not None:
                answers[owner].append(message)
    return [_turn(question, answers[question.message_id], zone) for question in questions]


def _turn(question: Message, answers: Sequence[Message], zone: tzinfo | None) -> Turn:
    recalled = recalled_before(answers[0].receipt) if answers else ""
    text = question_text(question.content, question.created_at, recalled=recalled, zone=zone)
    asked = ChatMessage(Role.USER, text)
    messages = (asked, *(ChatMessage(Role.ASSISTANT, answer.content) for answer in answers))
    return Turn(messages, (question, *answers))
