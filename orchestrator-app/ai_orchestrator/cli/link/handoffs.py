"""Ending a session in this process, in the words of the HTTP API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ai_orchestrator.cli.stored import latest_used

if TYPE_CHECKING:
    from orchestrator_core.handoff.proposer import Proposer
    from orchestrator_core.settings import Settings
    from shared_context.conversations.store import ConversationStore
    from shared_context.documents.context_folder import ContextFolder


class HandoffLink(Protocol):
    """What of a `Link` ending a session needs."""

    def draft_handoff(self, conversation_id: str, use_model: bool) -> dict[str, Any]: ...
    def confirm_handoff(self, confirmation: Mapping[str, Any]) -> dict[str, Any]: ...
    def latest(self) -> str | None: ...


class LocalHandoffs:
    """The memory and the documents of this process; no model unless there is a proposer."""

    def __init__(
        self, conversations: ConversationStore, context: ContextFolder, proposer: Proposer | None = None
    ) -> None:
        from orchestrator_core.handoff.session import Handoffs

        self._conversations = conversations
        self._handoffs = Handoffs(conversations, context, proposer)

    def draft_handoff(self, conversation_id: str, use_model: bool) -> dict[str, Any]:
        from orchestrator_http.schemas.handoff import HandoffDraft

        return HandoffDraft.model_validate(
            self._handoffs.draft(conversation_id, use_model=use_model)
        ).model_dump()

    def confirm_handoff(self, confirmation: Mapping[str, Any]) -> dict[str, Any]:
        from orchestrator_core.chat_request import invalid_request
        from orchestrator_http.schemas.handoff import ConfirmHandoffBody, HandoffAnswer
        from pydantic import ValidationError

        try:
            body = ConfirmHandoffBody.model_validate(dict(confirmation))
        except ValidationError as error:
            raise invalid_request(error) from None
        return HandoffAnswer.model_validate(self._handoffs.confirm(body.confirmation())).model_dump()

    def latest(self) -> str | None:
        return latest_used(self._conversations)


@contextmanager
def open_handoffs(settings: Settings) -> Iterator[HandoffLink]:
    """The running server, or memory and documents opened here without loading a model.

    Raises:
        StoreLocked: another process keeps the documents. StoreError: they are unusable.
    """
    from shared_context.conversations.store import ConversationStore
    from shared_context.documents.context_folder import ContextFolder

    from ai_orchestrator.holding import reach

    holder = reach(settings)
    if not isinstance(holder, ContextFolder):
        with holder:
            yield holder
        return
    try:
        with ConversationStore.open(settings.data / "memory.db") as conversations:
            yield LocalHandoffs(conversations, holder)
    finally:
        holder.close()
