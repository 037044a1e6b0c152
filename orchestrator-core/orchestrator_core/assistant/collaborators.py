"""What the assistant of one tier works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder
from shared_context.retrieval.recall import MemorySearch

from orchestrator_core.assistant.tier_forwarding import TierForwarding
from orchestrator_core.backend import ChatBackend
from orchestrator_core.settings import Settings


def _nothing() -> None:
    """Storage that cannot go away under a running process."""


@dataclass(frozen=True, slots=True)
class Collaborators:
    """
    Args:
        tier: `desktop`, `vps` or `phone`: who answers here.
        context: the handoff documents, or None.
        memory: search over everything said and written, for what a question should recall; or None.
        elsewhere: another tier that may answer instead, or None.
        check_storage: raises StoreGone when what is written now would be lost.
    """

    settings: Settings
    tier: str
    conversations: ConversationStore
    backend: ChatBackend
    context: ContextFolder | None = None
    memory: MemorySearch | None = None
    elsewhere: TierForwarding | None = None
    check_storage: Callable[[], None] = _nothing
