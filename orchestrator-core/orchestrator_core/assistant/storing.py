"""What happens to a finished answer: it is stored, once."""

from __future__ import annotations

from typing import Any

from shared_context.conversations.store import ConversationStore
from shared_context.errors import ConversationNotFound

from orchestrator_core.messages import Role
from orchestrator_core.runs.spec import RunResult, RunSpec


class AnswerStore:
    """Stores answers under the message id fixed at their start (see `runs.producer.OnFinish`)."""

    def __init__(self, conversations: ConversationStore) -> None:
        self._conversations = conversations

    def __call__(self, spec: RunSpec, result: RunResult) -> dict[str, Any]:
        """Store the text; returns what the done event says besides. Idempotent.

        An answer whose conversation or question was deleted meanwhile is not stored; its
        message_id is then null.
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
        return {"receipt": receipt}

    def _was_deleted(self, message_id: str | None) -> bool:
        return message_id is not None and self._conversations.is_deleted(message_id)
