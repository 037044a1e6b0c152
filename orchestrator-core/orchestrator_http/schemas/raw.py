"""Bodies of `/generate`. The request is `chat_request.GenerateRequest`."""

from __future__ import annotations

from pydantic import BaseModel

from orchestrator_http.schemas.common import UsageFields


class GenerateAnswer(BaseModel):
    response: str
    usage: UsageFields
    finish_reason: str | None
    tier: str
    model: str
    timestamp: str
