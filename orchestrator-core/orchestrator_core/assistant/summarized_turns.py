"""Summaries of turns that left the window, made once per large step and stored."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence

from shared_context.conversations.messages import Message
from shared_context.conversations.sessions import SummaryStore
from shared_context.conversations.store import ConversationStore
from shared_context.errors import SharedContextError

from orchestrator_core.handoff.history_summary import MOST_MESSAGES, VERSION, summary
from orchestrator_core.remembered import Remembered

log = logging.getLogger(__name__)

REMEMBERED = 64
"""Summaries kept in memory beside the stored ones."""
READ_AT_MOST = 4000
"""Newest messages of a conversation that are read when the prompt's own do not reach far enough."""


class LeftTurns:
    """The summaries of one assistant. Safe from any thread.

    Args:
        model: name of the model whose tokens are counted.
    """

    def __init__(self, conversations: ConversationStore, model: Callable[[], str]) -> None:
        self._conversations = conversations
        self._store = SummaryStore(conversations.database)
        self._model = model
        self._made: Remembered[tuple[str, str], str] = Remembered(REMEMBERED)

    def of_conversation(self, conversation_id: str) -> ConversationSummaries:
        return ConversationSummaries(self, conversation_id)

    def find_or_make(
        self,
        conversation_id: str,
        left: Sequence[Message],
        dropped: int,
        max_tokens: int,
        count: Callable[[str], int],
    ) -> str:
        """See `prompt.request.Summaries`. A store that fails costs time, never the answer."""
        last = left[-1].message_id
        parts = (str(VERSION), self._model(), str(max_tokens), str(dropped), last)
        key = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]

        def make() -> str:
            try:
                stored = self._store.get(conversation_id, key)
                if stored is None:
                    stored = summary(self._whole(conversation_id, left, dropped), max_tokens, count)
                    self._store.put(conversation_id, key, stored, last)
                return stored
            except SharedContextError as error:
                log.warning("A summary could not be stored: %s", error)
                return summary(left, max_tokens, count)

        return self._made.get((conversation_id, key), make)

    def _whole(self, conversation_id: str, left: Sequence[Message], dropped: int) -> Sequence[Message]:
        """Everything that left, as far as a summary looks back: the prompt has not loaded all of it."""
        if len(left) >= min(dropped, MOST_MESSAGES):
            return left
        read = self._conversations.messages(conversation_id, limit=READ_AT_MOST)
        first = next((at for at, message in enumerate(read) if message.message_id == left[0].message_id), 0)
        return [*read[:first], *left]


class ConversationSummaries:
    """Those of one conversation, as the prompt asks for them."""

    def __init__(self, summaries: LeftTurns, conversation_id: str) -> None:
        self._summaries = summaries
        self._conversation_id = conversation_id

    def of(self, left: Sequence[Message], dropped: int, max_tokens: int, count: Callable[[str], int]) -> str:
        return self._summaries.find_or_make(self._conversation_id, left, dropped, max_tokens, count)
