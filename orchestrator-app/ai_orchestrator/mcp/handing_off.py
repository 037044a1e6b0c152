"""The tools that end a session of the owner's assistant: a draft, and what was made of it."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from orchestrator_http.schemas.handoff import DocumentEditBody, EntryId, HandoffAnswer, HandoffDraft
from pydantic import Field
from shared_context.documents.document_names import MAX_DOCUMENT_BYTES

from ai_orchestrator.mcp.client import Caller, author_of
from ai_orchestrator.mcp.memory import SharedMemory
from ai_orchestrator.mcp.telling import as_tool_errors
from ai_orchestrator.mcp.tools import READS, WRITES, ConversationId, Project


def add_handoff(server: MCPServer[Any], memory: SharedMemory) -> None:
    @server.tool(title="Draft the end of a session", annotations=READS)
    def draft_handoff(
        conversation_id: Annotated[
            ConversationId | None, Field(description="Absent: the one that was last used.")
        ] = None,
        project: Project = None,
    ) -> HandoffDraft:
        """What ending a conversation's session would write: an entry for the session log, and the handoff
        documents with what lasts. Every item quotes the conversation since it was last handed off.

        Nothing is stored. Show the differences to the owner, mend what is wrong, then call confirm_handoff."""
        with as_tool_errors():
            draft = memory.do(lambda now: now.draft_handoff(conversation_id), project=project)
            return HandoffDraft.model_validate(draft)

    @server.tool(title="Store the end of a session", annotations=WRITES)
    def confirm_handoff(
        caller: Caller,
        conversation_id: ConversationId,
        entry_id: EntryId,
        entry: Annotated[
            str,
            Field(min_length=1, max_length=MAX_DOCUMENT_BYTES, description="The draft's, or a better one."),
        ],
        documents: Annotated[
            list[DocumentEditBody] | None,
            Field(max_length=3, description="The draft's that change, or better ones; absent: none."),
        ] = None,
        project: Project = None,
    ) -> HandoffAnswer:
        """Store a draft as the owner confirmed it: the entry goes into the log, each document is merged as an
        edit of its base_version, and the session counts as handed off. Sending it again changes nothing."""
        given = {
            "conversation_id": conversation_id,
            "entry_id": entry_id,
            "entry": entry,
            "documents": [edit.model_dump() for edit in documents or ()],
        }
        with as_tool_errors():
            done = memory.do(
                lambda now: now.confirm_handoff(given), project=project, author=author_of(caller)
            )
            return HandoffAnswer.model_validate(done)
