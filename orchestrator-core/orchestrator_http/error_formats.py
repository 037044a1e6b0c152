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
from orchestrator_http.schemas.errors import ErrorAnswer, OpenAIErrorAnswer


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


FORMATS = (
    ErrorFormat("", ErrorAnswer, Problem.body, "error"),
    ErrorFormat("/v1", OpenAIErrorAnswer, Problem.openai_body, None),
)


def error_format(path: str) -> ErrorFormat:
    """The one with the longest prefix of `path`, counted in whole segments."""
    matching = (each for each in FORMATS if f"{path}/".startswith(f"{each.prefix}/"))
    return max(matching, key=lambda each: len(each.prefix))
