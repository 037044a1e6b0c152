"""What happens to a finished answer: it is stored, once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from shared_context.errors import ConversationNotFound, StoreError

from orchestrator_core.assistant.collaborators import Collaborators
from orchestrator_core.messages import Role
from orchestrator_core.news import News
from orchestrator_core.runs.spec import RunResult, RunSpec, RunState

_log = logging.getLogger(__name__)


class AnswerStore:
    """Stores answers under the message id fixed at their start (see `runs.producer.OnFinish`).

    Args:
        changed: called after an answer of a conversation.
        tell: told of each answer of a conversation that was not stopped by somebody.
    """

    def __init__(
        self,
        collaborators: Collaborators,
        changed: Callable[[], object] = lambda: None,
        tell: Callable[[News], object] = lambda news: None,
    ) -> None:
        self._conversations = collaborators.conversations
        self._tier = collaborators.tier
        self._elsewhere = collaborators.elsewhere
        self._changed = changed
        self._tell = tell

    def __call__(self, spec: RunSpec, result: RunResult) -> dict[str, Any]:
        """Store the text; returns what the done event says besides. Idempotent."""
        stored = self._stored(spec, result)
        if self._elsewhere is not None and spec.tier == self._tier:
            self._elsewhere.said_here()
        if spec.conversation_id is not None:
            self._changed()
            if "message_id" not in stored and result.state is not RunState.CANCELLED:
                self._tell(News.answered(spec.run_id, spec.conversation_id, spec.message_id))
        return stored

    def _stored(self, spec: RunSpec, result: RunResult) -> dict[str, Any]:
        """An answer whose conversation or question was deleted meanwhile is not stored; its
        message_id is then null.

        Raises:
            StoreError: an answer of this tier cannot be stored.
        """
        receipt = {**spec.receipt, "cached_tokens": result.usage.cached_tokens}
        if spec.conversation_id is None or spec.message_id is None or self._was_deleted(spec.reply_to):
            return {"receipt": receipt, "message_id": None}
        try:
            self._conversations.add_message(
                spec.conversation_id,
                Role.ASSISTANT,
                result.text,
                message_id=spec.message_id,
                tier=spec.tier,
                model=result.seams[-1]["model"] if result.seams else spec.model,
                run_id=spec.run_id,
                reply_to=spec.reply_to,
                receipt=receipt,
                supersedes=spec.supersedes,
            )
        except ConversationNotFound:
            return {"receipt": receipt, "message_id": None}
        except StoreError as error:
            if spec.tier == self._tier:
                raise
            # The tier that gave the answer has stored it: the next exchange with room for it brings it.
            _log.warning("An answer of the %s is not kept here: %s", spec.tier, error.message)
        return {"receipt": receipt}

    def _was_deleted(self, message_id: str | None) -> bool:
        return message_id is not None and self._conversations.is_deleted(message_id)
