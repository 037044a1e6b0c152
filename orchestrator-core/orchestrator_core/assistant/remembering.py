"""What the assistant remembers for a question. It helps an answer and never stands in its way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shared_context.conversations.store import ConversationStore
from shared_context.documents.document import Document
from shared_context.errors import SharedContextError
from shared_context.retrieval.embedding import EmbeddingModel
from shared_context.retrieval.recall import Found, MemorySearch
from shared_context.storage.identity import now

from orchestrator_core.assistant.debounced import Debounced
from orchestrator_core.backend import ChatBackend
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import ApplicationError
from orchestrator_core.prompt.recalled import room_of

log = logging.getLogger(__name__)

EARLIER_MESSAGES = 2
"""The last question and answer tell what "it" and "there" mean; older ones mislead."""
CANDIDATES = 80
"""More than a prompt shows: many of the best are in its history already."""


def open_memory(
    path: Path,
    conversations: ConversationStore,
    documents: Callable[[], Mapping[str, Document]] | None = None,
    embedding: EmbeddingModel | None = None,
) -> MemorySearch | None:
    """The search over this memory; None when its file cannot be made, which is logged."""
    try:
        return MemorySearch(path, conversations, documents, embedding=embedding)
    except (SharedContextError, OSError) as error:
        log.warning("Answers do without what was said elsewhere: the search index is unusable: %s", error)
        return None


def kept_current(memory: MemorySearch, conversations: ConversationStore) -> Callable[[], None]:
    """Take in what was said, and drop what was deleted, soon after it happens; returns what ends it."""
    worker = Debounced(memory.refresh, "search-index")
    stop_listening = conversations.database.on_commit(worker.changed)
    worker.start()

    def end() -> None:
        stop_listening()
        worker.close()

    return end


class Recollection:
    """Looks up what a prompt may recall.

    Args:
        memory: None: nothing is ever recalled.
        setting: `context.retrieval_share`.
    """

    def __init__(
        self,
        memory: MemorySearch | None,
        conversations: ConversationStore,
        backend: ChatBackend,
        setting: float | None,
    ) -> None:
        self._memory = memory
        self._conversations = conversations
        self._backend = backend
        self.share = setting if memory is not None else 0.0

    def refresh(self) -> None:
        """Take in what is new, ahead of the next question."""
        if self._memory is not None:
            with _harmless("The search index is behind"):
                self._memory.refresh()

    def of(
        self, request: ChatRequest, conversation_id: str, within: Collection[str] | None = None
    ) -> list[Found]:
        """What may help with this message, best first; empty when nothing fits or search fails.

        Args:
            within: paths of the documents that may help, besides all messages; None: all.
        """
        memory = self._memory
        if memory is None or not request.message.strip():
            return []
        with _harmless("Nothing is recalled for a question"):
            if room_of(self._backend.context_length, self.share):
                own = request.message_id
                last = self._conversations.messages(conversation_id, limit=EARLIER_MESSAGES + 1)
                earlier = [message.content for message in last if message.message_id != own][
                    -EARLIER_MESSAGES:
                ]
                without = () if own is None else (own,)
                return memory.recall(
                    request.message,
                    earlier,
                    asked_at=now(),
                    without=without,
                    within=within,
                    limit=CANDIDATES,
                )
        return []


@contextmanager
def _harmless(what: str) -> Iterator[None]:
    """Logs what goes wrong. An unusable model or store is told by the answer itself."""
    try:
        yield
    except (ApplicationError, OSError) as error:
        log.warning("%s: %s", what, error)
