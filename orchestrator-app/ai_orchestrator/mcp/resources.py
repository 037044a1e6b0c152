"""The resources: the handoff documents and conversations, as texts to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.types import Resource
from shared_context.documents.document_names import BRIEFING, LOG, PORTFOLIO, PROJECT, check_document_name

from ai_orchestrator.mcp.memory import SharedMemory
from ai_orchestrator.mcp.telling import as_resource_errors

SCHEME = "orchestrator"
MARKDOWN = "text/markdown"
LISTED = 50
"""Conversations in the list of resources, the latest; the others are found by their ids."""
MESSAGES = 1000
"""The newest messages of a conversation that a resource holds."""

ABOUT = {
    PORTFOLIO: "All projects, from afar.",
    PROJECT: "This project: architecture, decisions, conventions.",
    BRIEFING: "Where we are now: read this first.",
    LOG: "The journal: one dated entry per session, oldest first.",
}


class MemoryServer(MCPServer[Any]):
    """An MCP server that lists conversations, which come and go, among its resources."""

    def __init__(self, memory: SharedMemory, **options: Any) -> None:
        super().__init__(**options)
        self._memory = memory

    async def list_resources(self) -> list[Resource]:
        fixed = await super().list_resources()
        with as_resource_errors():
            conversations = await anyio.to_thread.run_sync(
                lambda: self._memory.look(lambda now: now.conversations(LISTED))
            )
        return [
            *fixed,
            *(_listed(conversation) for conversation in conversations if conversation["turn_count"]),
        ]


def add_resources(server: MCPServer[Any], memory: SharedMemory) -> None:
    for name, about in ABOUT.items():
        server.resource(f"{SCHEME}://context/{name}", name=name, description=about, mime_type=MARKDOWN)(
            _reader(memory, name)
        )

    @server.resource(
        f"{SCHEME}://projects/{{project}}/{{name}}",
        name="project document",
        description="A handoff document of another project than the active one.",
        mime_type=MARKDOWN,
    )
    def project_document(project: str, name: str) -> str:
        with as_resource_errors():
            return str(memory.look(lambda now: now.show(check_document_name(name)), project=project)["text"])

    @server.resource(
        f"{SCHEME}://conversations/{{conversation_id}}",
        name="conversation",
        description="A conversation with the assistant, as markdown.",
        mime_type=MARKDOWN,
    )
    def conversation(conversation_id: str) -> str:
        with as_resource_errors():
            return _as_markdown(memory.look(lambda now: now.conversation(conversation_id, MESSAGES)))


def _reader(memory: SharedMemory, name: str) -> Callable[[], str]:
    def read() -> str:
        with as_resource_errors():
            return str(memory.look(lambda now: now.show(name))["text"])

    return read


def _listed(found: Mapping[str, Any]) -> Resource:
    conversation_id = str(found["conversation_id"])
    return Resource(
        uri=f"{SCHEME}://conversations/{quote(conversation_id, safe='')}",
        name=conversation_id,
        title=found["title"],
        description=f"{found['turn_count']} turns, last on {found['updated_at'][:16].replace('T', ' ')} UTC",
        mime_type=MARKDOWN,
    )


def _as_markdown(found: Mapping[str, Any]) -> str:
    sections = [
        f"## {message['role']} · {message['created_at'][:16].replace('T', ' ')} UTC\n\n{message['content'].rstrip()}\n"
        for message in found["history"]
    ]
    return "\n".join([f"# {found['title'] or found['conversation_id']}\n", *sections])
