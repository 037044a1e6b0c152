"""What an agent is told when something goes wrong: the error's own words and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from orchestrator_core.errors import ApplicationError, NotFound
from shared_context.errors import ConversationNotFound, DocumentNotFound

NOT_THERE = (NotFound, ConversationNotFound, DocumentNotFound)


@contextmanager
def as_tool_errors() -> Iterator[None]:
    """Anything else is a defect of ours: its words stay in the log."""
    try:
        yield
    except ApplicationError as error:
        raise ToolError(told(error)) from error


@contextmanager
def as_resource_errors() -> Iterator[None]:
    try:
        yield
    except NOT_THERE as error:
        raise ResourceNotFoundError(told(error)) from error
    except ApplicationError as error:
        raise ResourceError(told(error)) from error


def told(error: ApplicationError) -> str:
    return f"{error.message} {error.hint}" if error.hint else error.message
