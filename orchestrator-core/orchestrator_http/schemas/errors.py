"""Error bodies. `problems.py` writes them; these models document and pin their shape."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from orchestrator_http.schemas.common import Answer


class ErrorFields(Answer):
    type: str
    code: str
    message: str
    hint: str | None
    server_time: int | None = Field(
        None, description="Unix time here; only with `clock_off` and `request_replayed`, else absent."
    )


class ErrorAnswer(BaseModel):
    """What every route outside /v1 answers when it cannot do what was asked."""

    error: ErrorFields


class OpenAIErrorFields(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorAnswer(BaseModel):
    """What the /v1 routes answer when they cannot do what was asked."""

    error: OpenAIErrorFields


class AnthropicErrorFields(BaseModel):
    type: str
    message: str


class AnthropicErrorAnswer(BaseModel):
    """What /v1/messages answers when it cannot do what was asked."""

    type: Literal["error"]
    error: AnthropicErrorFields


class OllamaErrorAnswer(BaseModel):
    """What the /api routes answer when they cannot do what was asked."""

    error: str
