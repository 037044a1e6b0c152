"""The tools for the items of the handoff documents: to-dos, open questions, decisions, lasting facts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from mcp.server.mcpserver import MCPServer
from orchestrator_http.schemas.memory import ForgottenItem, ItemFields, ItemsAnswer, ItemState
from pydantic import Field

from ai_orchestrator.mcp.client import Caller, author_of
from ai_orchestrator.mcp.memory import SharedMemory
from ai_orchestrator.mcp.telling import as_tool_errors
from ai_orchestrator.mcp.tools import FORGETS, READS, WRITES, Project

ItemId = Annotated[str, Field(min_length=1, max_length=64, description="As list_items gives it.")]


def add_items(server: MCPServer[Any], memory: SharedMemory) -> None:
    @server.tool(title="List what is open, decided and lasting", annotations=READS)
    def list_items(
        state: Annotated[ItemState | None, Field(description="Only these; absent: all.")] = None,
        project: Project = None,
    ) -> ItemsAnswer:
        """To-dos, open questions, decisions and lasting facts of the handoff documents, each with its id
        and the message it came from."""
        with as_tool_errors():
            items = memory.look(lambda now: now.items(state), project=project)
            return ItemsAnswer.model_validate({"items": items})

    @server.tool(title="Settle an item", annotations=WRITES)
    def settle_item(
        caller: Caller, item_id: ItemId, outcome: Literal["done", "dropped"], project: Project = None
    ) -> ItemFields:
        """Close a to-do or open question that was done or dropped; strike a decision or fact that holds
        no more. Call it when you finished a to-do of the owner."""
        with as_tool_errors():
            item = memory.do(
                lambda now: now.settle_item(item_id, outcome),
                project=project,
                author=author_of(caller),
                repeatable=False,
            )
            return ItemFields.model_validate(item)

    @server.tool(title="Reword an item", annotations=WRITES)
    def edit_item(
        caller: Caller,
        item_id: ItemId,
        text: Annotated[str, Field(min_length=1, max_length=300)],
        project: Project = None,
    ) -> ItemFields:
        """Change the words of an item; its id and origin stay."""
        with as_tool_errors():
            item = memory.do(
                lambda now: now.reword_item(item_id, text), project=project, author=author_of(caller)
            )
            return ItemFields.model_validate(item)

    @server.tool(title="Forget an item", annotations=FORGETS)
    def forget_item(caller: Caller, item_id: ItemId, project: Project = None) -> ForgottenItem:
        """Remove an item from the documents and the log, and the message it came from, when the owner asks
        to forget it. It cannot be undone."""
        with as_tool_errors():
            item = memory.do(
                lambda now: now.forget_item(item_id),
                project=project,
                author=author_of(caller),
                repeatable=False,
            )
            return ForgottenItem.model_validate(item)
