"""The error bodies of each family of clients. A family owns the paths under its prefix, so the path
alone says how a failure is written: of a route, of an address without one, and within a stream.

A further family is a further row of `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from orchestrator_http.problems import Problem
from orchestrator_http.schemas.errors import (
    AnthropicErrorAnswer,
    ErrorAnswer,
    OllamaErrorAnswer,
    OpenAIErrorAnswer,
)


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """
    Args:
        prefix: the path under which it is used; "" stands for every other path.
        model: documents the body.
        body: writes it.
        event: name of the event that ends a stream which fails half-way; None: an event without one.
    """

    prefix: str
    model: type[BaseModel]
    body: Callable[[Problem], dict[str, Any]]
    event: str | None


_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def _anthropic_body(problem: Problem) -> dict[str, Any]:
    kind = _ANTHROPIC_TYPES.get(
        problem.status, "invalid_request_error" if problem.status < 500 else "api_error"
    )
    return {"type": "error", "error": {"type": kind, "message": _in_words(problem)}}


def _ollama_body(problem: Problem) -> dict[str, Any]:
    return {"error": _in_words(problem)}


def _in_words(problem: Problem) -> str:
    """With the hint, for which there is no field."""
    return f"{problem.message} {problem.hint}" if problem.hint else problem.message


FORMATS = (
    ErrorFormat("", ErrorAnswer, Problem.body, "error"),
    ErrorFormat("/v1", OpenAIErrorAnswer, Problem.openai_body, None),
    ErrorFormat("/v1/messages", AnthropicErrorAnswer, _anthropic_body, "error"),
    ErrorFormat("/api", OllamaErrorAnswer, _ollama_body, None),
)


def error_format(path: str) -> ErrorFormat:
    """The one with the longest prefix of `path`, counted in whole segments."""
    matching = (each for each in FORMATS if f"{path}/".startswith(f"{each.prefix}/"))
    return max(matching, key=lambda each: len(each.prefix))
