"""Bodies of `/chat` and `/runs`. The request of `/chat` is `chat_request.ChatRequest`."""

from __future__ import annotations

from typing import Literal, Self

from orchestrator_core.prompt.receipt import Receipt
from orchestrator_core.runs.run import Run
from pydantic import BaseModel, Field

from orchestrator_http.schemas.common import Identifier, Parameters, UsageFields
from orchestrator_http.schemas.errors import ErrorFields


class ChatAnswer(BaseModel):
    """What `/chat` answers; the last event of a stream carries the same and `"done": true`."""

    response: str
    conversation_id: str | None
    message_id: str | None = Field(description="Id of the stored answer.")
    supersedes: str | None = Field(
        None, description="Id of the answer that this one takes the place of, if that was ever stored."
    )
    run_id: str
    tier: str
    model: str
    reason: str = Field(description="Why this tier answered.")
    usage: UsageFields
    finish_reason: str | None = Field(description="stop, length or cancelled.")
    receipt: Receipt = Field(description="What the answer was made from.")
    timestamp: str = Field(description="ISO 8601, UTC.")


class RunPath(Parameters):
    run_id: Identifier


class FromOffset(Parameters):
    start: int | None = Field(None, alias="from", ge=0, le=2**53, description="Replay what follows it.")


class LastEventId(Parameters):
    value: int | None = Field(
        None, alias="Last-Event-ID", ge=0, le=2**53, description="As `from`, and stronger."
    )


class RunAnswer(BaseModel):
    run_id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    conversation_id: str | None
    message_id: str | None
    tier: str
    model: str
    reason: str
    reply_to: str | None = Field(description="Id of the question.")
    text: str = Field(description="The answer so far.")
    offset: int = Field(description="Of the last event; follow it with ?from=.")
    created_at: str
    finished_at: str | None
    usage: UsageFields | None
    finish_reason: str | None
    error: ErrorFields | None

    @classmethod
    def of(cls, run: Run) -> Self:
        spec, result = run.spec, run.result
        seen = {name: getattr(run, name) for name in ("run_id", "text", "created_at", "finished_at")}
        asked = {name: getattr(spec, name) for name in _OF_SPEC}
        usage = None if result is None else UsageFields.model_validate(result.usage)
        error = result.error if result is not None else None
        return cls(
            **seen,
            **asked,
            state=run.state.value,
            offset=run.log.last_offset,
            usage=usage,
            finish_reason=None if result is None else result.finish_reason,
            error=None if error is None else ErrorFields.model_validate(error),
        )


_OF_SPEC = ("conversation_id", "message_id", "reply_to", "tier", "model", "reason")
