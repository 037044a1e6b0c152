"""The tools that end a session of the owner's assistant: a draft, and what was made of it."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from orchestrator_core.errors import InvalidRequest
from orchestrator_http.schemas.handoff import EntryId, HandoffAnswer
from pydantic import BaseModel, Field
from shared_context.documents.document_names import MAX_DOCUMENT_BYTES

from ai_orchestrator.mcp.client import Caller, author_of
from ai_orchestrator.mcp.memory import SharedMemory
from ai_orchestrator.mcp.telling import as_tool_errors
from ai_orchestrator.mcp.tools import READS, WRITES, BaseVersion, ConversationId, Project, WholeText


class Drafted(BaseModel):
    conversation_id: str
    entry_id: str = Field(description="Names this draft: give it back.")
    entry: str = Field(description="For the session log, without the dated heading that it gets there.")
    briefing: str = Field(description="The whole session briefing as it would be.")
    base_version: str | None = Field(description="Of the briefing it was made from: give it back.")
    diff: str = Field(description="What changes in the briefing; empty: nothing.")
    notes: list[str] = Field(description="What the owner should know about the draft.")


def add_handoff(server: MCPServer[Any], memory: SharedMemory) -> None:
    @server.tool(title="Draft the end of a session", annotations=READS)
    def draft_handoff(
        conversation_id: Annotated[
            ConversationId | None, Field(description="Absent: the one that was last used.")
        ] = None,
        project: Project = None,
    ) -> Drafted:
        """What ending a conversation's session would write: an entry for the session log and an
        updated briefing, both of the conversation's own sentences since it was last handed off.

        Nothing is stored. Show it to the owner, mend what is wrong, then call confirm_handoff."""
        with as_tool_errors():
            draft = memory.do(lambda now: now.draft_handoff(conversation_id), project=project)
        briefing = draft["briefing"]
        return Drafted.model_validate({**draft, **briefing, "briefing": briefing["text"]})

    @server.tool(title="Store the end of a session", annotations=WRITES)
    def confirm_handoff(
        caller: Caller,
        conversation_id: ConversationId,
        entry_id: EntryId,
        entry: Annotated[
            str,
            Field(min_length=1, max_length=MAX_DOCUMENT_BYTES, description="The draft's, or a better one."),
        ],
        briefing: Annotated[
            WholeText | None, Field(description="Likewise; absent: the briefing stays as it is.")
        ] = None,
        base_version: Annotated[
            BaseVersion | None, Field(description="Of the draft; needed with a briefing.")
        ] = None,
        project: Project = None,
    ) -> HandoffAnswer:
        """Store a draft as the owner confirmed it: the entry goes into the log, the briefing is merged
        as an edit of base_version, and the session counts as handed off. Sending it again changes nothing."""
        given = {
            "conversation_id": conversation_id,
            "entry_id": entry_id,
            "entry": entry,
            "briefing": briefing,
            "base_version": base_version,
        }
        with as_tool_errors():
            if briefing is not None and base_version is None:
                raise InvalidRequest(
                    "A briefing was given without the version it was made from.",
                    hint="Give the draft's base_version.",
                )
            done = memory.do(
                lambda now: now.confirm_handoff(given), project=project, author=author_of(caller)
            )
            return HandoffAnswer.model_validate(done)
