"""The owner's conversations: each answer that the owner let stand, with what was said before it.

An answer that was given again counts in its last version only, and one whose question the owner
asked once more in the same conversation not at all. What was deleted is not there to be learned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from shared_context.conversations.messages import Message
from shared_context.conversations.store import ConversationStore
from shared_context.errors import SharedContextError

from training_data.duplicates import ALIKE, similar
from training_data.errors import DatasetSourceError
from training_data.records import Record, RecordedTurn

LICENCE = "the owner's; not to be passed on"
TOPIC = "practice"
FILE = "memory.db"
EARLIER_TURNS = 4
"""Turns before a question that stay with it; an even number, so that the user begins."""
_ALL = 1_000_000


def conversation_records(place: Path, chosen: Collection[str] = ()) -> list[Record]:
    """Records of all conversations, or of the chosen ones.

    Args:
        place: the data folder, or its memory.db; a running server may use it meanwhile.
        chosen: conversation ids.

    Raises:
        DatasetSourceError: there is no such file or conversation, or it cannot be read.
    """
    path = place / FILE if place.is_dir() else place
    if not path.is_file():
        raise DatasetSourceError(
            f"There is no memory at {str(path)!r}.", f"Give the data folder that holds {FILE}."
        )
    try:
        with ConversationStore.open(path) as store:
            ids = chosen or [conversation.conversation_id for conversation in store.list(_ALL)]
            return [record for each in ids for record in _records(each, store.messages(each))]
    except SharedContextError as error:
        raise DatasetSourceError(error.message, error.hint) from error


def _records(conversation_id: str, messages: list[Message]) -> Iterator[Record]:
    pairs = list(_pairs(messages))
    asked_again = {i for i, _ in similar([question.content for question, _ in pairs], ALIKE)}
    turns: list[RecordedTurn] = []
    for number, (question, answer) in enumerate(pairs):
        turns += [RecordedTurn("user", question.content), RecordedTurn("assistant", answer.content)]
        if number not in asked_again:
            yield Record(
                tuple(turns[-EARLIER_TURNS - 2 :]),
                topic=TOPIC,
                fact=f"conversation:{conversation_id}",
                wording="written",
                source=f"conversation:{conversation_id}" + (f" ({answer.model})" if answer.model else ""),
                licence=LICENCE,
            )


def _pairs(messages: list[Message]) -> Iterator[tuple[Message, Message]]:
    """Questions with the answers that follow them; what was never answered is left out."""
    question: Message | None = None
    for message in messages:
        if message.role == "user":
            question = message
        elif message.role == "assistant" and question is not None and message.content.strip():
            if question.content.strip():
                yield question, message
            question = None
