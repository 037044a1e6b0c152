"""How a model is asked for a session's items, and what of its answer is taken: quote or drop. Pure.

The model reads the session in windows and answers JSON by grammar. Every item names a message and quotes
it; an item whose quote is not in a message of the window, word for word, is dropped. So a model can leave
things out, and cannot make anything up that nobody said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from shared_context.conversations.messages import Message

from orchestrator_core.errors import BackendError
from orchestrator_core.handoff.credentials import holds_credential
from orchestrator_core.handoff.item import MAX_QUOTE, MAX_TEXT, HandoffItem, Kind, distinct, one_line
from orchestrator_core.handoff.item_line import ItemLine
from orchestrator_core.messages import ChatMessage, Role

MOST_ITEMS = 12
"""Of one window."""
MOST_OPEN = 30
"""Open items of earlier sessions that a window is shown, the most urgent first."""
LEAST_QUOTE = 6
"""Characters; a shorter quote is found by chance."""
MAX_MESSAGE_CHARS = 4_000
"""Of one message that are shown; what is cut from its middle cannot be quoted."""
_NUMBER = re.compile(r"\d+")

INSTRUCTION = """\
You write the minutes of a conversation between a person (the owner) and an assistant. The messages are \
numbered. List what a later conversation must know, as JSON:

decided      a decision that was made (lasting: it holds for the whole project, not only for today)
done         work that was finished, by either side, with the cause that was found or the fix
todo         a task that somebody still has to do (due: YYYY-MM-DD, when a day was named)
question     a question that is still open
about_owner  a lasting fact about the owner: a preference, allergy, person, birthday
fact         a lasting fact about the project
file         a file or folder that matters
command      a command that worked

text: one short sentence in the conversation's language. quote: words of the message, copied exactly. \
message: its number. resolves: the id of an open item below that this settles or replaces. Leave out \
greetings, explanations, suggestions nobody took up, and whatever is uncertain. No items is a good answer."""


class ProposedItem(BaseModel):
    """What the model answers for one item; anything else it adds is ignored."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["decided", "done", "todo", "question", "about_owner", "fact", "file", "command"]
    text: str = Field(max_length=2 * MAX_TEXT)
    quote: str = Field(max_length=2 * MAX_QUOTE)
    message: int
    due: str | None = None
    resolves: str | None = None
    lasting: bool = False


class Proposal(BaseModel):
    items: list[ProposedItem] = Field(max_length=MOST_ITEMS)


def windows(
    messages: Sequence[Message], max_tokens: int, count: Callable[[str], int]
) -> list[Sequence[Message]]:
    """The session in parts that fit a prompt, oldest first. A part depends only on the messages up to its
    end, so that what was asked about it stays valid while the session goes on."""
    parts: list[list[Message]] = [[]]
    used = 0
    for message in messages:
        tokens = count(shown(message.content))
        if parts[-1] and used + tokens > max_tokens:
            parts.append([])
            used = 0
        parts[-1].append(message)
        used += tokens
    return [part for part in parts if part]


def question(window: Sequence[Message], open_items: Sequence[ItemLine], today: date) -> list[ChatMessage]:
    """What the model is asked about one window."""
    names = {str(Role.USER): "owner", str(Role.ASSISTANT): "assistant"}
    transcript = "\n\n".join(
        f"[{number}] {names.get(message.role, message.role)}: {shown(message.content)}"
        for number, message in enumerate(window, 1)
    )
    pending = "\n".join(f"{item.item_id}: {item.text}" for item in open_items[:MOST_OPEN])
    parts = [INSTRUCTION, f"Today is {today}."]
    if pending:
        parts.append(f"Open items:\n{pending}")
    parts.append(f"Conversation:\n\n{transcript}")
    return [ChatMessage(Role.USER, "\n\n".join(parts))]


def schema() -> dict[str, Any]:
    return Proposal.model_json_schema()


def checked(answer: str, window: Sequence[Message], known: Iterable[str]) -> tuple[list[HandoffItem], int]:
    """The items whose quotes are in the window, each once, and how many were dropped.

    Args:
        known: ids of items that may be resolved.

    Raises:
        BackendError: the answer is not the JSON that was asked for.
    """
    try:
        proposed = Proposal.model_validate_json(answer).items
    except ValidationError as error:
        raise BackendError(f"The model's minutes are no valid JSON: {error.error_count()} errors.") from error
    ids = frozenset(known)
    items = [item for proposal in proposed if (item := _proven(proposal, window, ids)) is not None]
    return distinct(items), len(proposed) - len(items)


def shown(content: str) -> str:
    """A message as the model sees it: a long one without its middle."""
    if len(content) <= MAX_MESSAGE_CHARS:
        return content
    half = MAX_MESSAGE_CHARS // 2
    return f"{content[:half]}\n[…]\n{content[-half:]}"


def _proven(proposal: ProposedItem, window: Sequence[Message], ids: frozenset[str]) -> HandoffItem | None:
    quote = one_line(proposal.quote)
    source = _source(quote, proposal.message, window)
    if source is None or len(quote) < LEAST_QUOTE or len(quote) > MAX_QUOTE:
        return None
    text = one_line(proposal.text) or quote
    if not _figures(text) <= _figures(source.content):
        text = quote  # a number that nobody said
    if holds_credential(f"{text} {quote}") or "<!--" in text or "-->" in text:
        return None
    return HandoffItem(
        Kind(proposal.kind),
        text,
        quote,
        source.message_id,
        by_assistant=source.role == Role.ASSISTANT,
        due=_day(proposal.due),
        resolves=proposal.resolves if proposal.resolves in ids else None,
        lasting=proposal.lasting,
    )


def _source(quote: str, number: int, window: Sequence[Message]) -> Message | None:
    """The message that holds these words: the one that was named, else another of the window."""
    named = window[number - 1 : number] if number > 0 else []
    return next((message for message in (*named, *window) if quote in one_line(message.content)), None)


def _figures(text: str) -> set[str]:
    return set(_NUMBER.findall(text))


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None
