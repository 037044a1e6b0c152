"""What was deleted is forgotten everywhere on this tier: by its runs, the search index and the files themselves.

A deletion may be made here or come from another tier with an exchange; both are commits to the conversations.
"""

from __future__ import annotations

import threading

from shared_context.conversations.quotations import quoted_in
from shared_context.conversations.store import ConversationStore
from shared_context.retrieval.recall import MemorySearch

from orchestrator_core.assistant.debounced import Debounced
from orchestrator_core.runs.manager import RunManager
from orchestrator_core.runs.spec import RunSpec


class Forgetting:
    """Safe from any thread. Works soon after each commit that deleted something, from `start` to `close`."""

    def __init__(
        self, conversations: ConversationStore, runs: RunManager, memory: MemorySearch | None
    ) -> None:
        self._conversations = conversations
        self._runs = runs
        self._memory = memory
        self._lock = threading.Lock()
        self._forgotten = -1
        self._worker = Debounced(self.forget, "forgetting")
        self._stop_listening = conversations.database.on_commit(self._worker.changed)

    def start(self) -> None:
        self._worker.start()

    def close(self) -> None:
        """Idempotent."""
        self._stop_listening()
        self._worker.close()

    def forget(self) -> None:
        """Nothing of the messages deleted so far is left when this returns, but in runs that have not
        ended yet: those are forgotten soon after.

        Raises:
            StoreError.
        """
        with self._lock:
            deleted = self._conversations.count_deleted()
            if deleted == self._forgotten:
                return
            if self._memory is not None:
                self._memory.refresh()
                self._memory.scrub()
            unfinished = self._runs.forget(self._mentions_deleted)
            self._conversations.scrub()
            if unfinished:
                self._worker.changed()
            else:
                self._forgotten = deleted

    def _mentions_deleted(self, spec: RunSpec) -> bool:
        named = (spec.message_id, spec.reply_to, *quoted_in(spec.receipt))
        return any(
            message_id is not None and self._conversations.is_deleted(message_id) for message_id in named
        )
