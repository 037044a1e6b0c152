"""The MCP server: what it says about itself, its tools and its resources."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from ai_orchestrator.mcp.handing_off import add_handoff
from ai_orchestrator.mcp.items import add_items
from ai_orchestrator.mcp.memory import SharedMemory
from ai_orchestrator.mcp.resources import MemoryServer, add_resources
from ai_orchestrator.mcp.tools import add_tools

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

INSTRUCTIONS = """\
The owner's memory, shared by all their devices and assistants: four handoff documents in markdown, \
from broad to narrow, and every conversation.

Begin by reading SESSION_BRIEFING.md (where we are now), then PROJECT_CONTEXT.md. Search before asking \
the owner something they may have said already. When something was done or decided, add it to the \
session log with append_log: facts, files, what is left open. When where-we-are changed, update the \
briefing: read it, change the text, give the version you read as base_version. Others write too: an \
edit of an older version is merged, never lost; resolve the conflicts that an edit reports. \
When the owner ends a session with their own assistant, draft_handoff says what that would write, with the \
words that prove it: show it, and confirm_handoff with what the owner made of it. To-dos, open questions, decisions \
and lasting facts are items with ids: list_items shows them, settle_item closes one that you finished."""


def create_server(settings: Settings, memory: SharedMemory | None = None) -> MemoryServer:
    """The server for this data folder, not listening yet."""
    memory = memory or SharedMemory(settings)
    server = MemoryServer(
        memory,
        name="orchestrator",
        title="Orchestrator",
        version=version("orchestrator"),
        instructions=INSTRUCTIONS,
        log_level=settings.log.level,
    )
    add_tools(server, memory)
    add_handoff(server, memory)
    add_items(server, memory)
    add_resources(server, memory)
    return server
