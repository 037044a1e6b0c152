"""The tools: what an agent can do with the memory."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations
from orchestrator_core.generation import MAX_NEW_TOKENS
from orchestrator_http.schemas.context import ConflictInfo, ContextSummary, EntryAnswer
from orchestrator_http.schemas.conversations import ConversationList, ConversationSummary, SearchAnswer
from pydantic import BaseModel, Field
from shared_context.documents.document_names import BRIEFING, LOG, MAX_DOCUMENT_BYTES
from shared_context.documents.log_entry import new_entry_id

from ai_orchestrator.mcp.client import Caller, author_of
from ai_orchestrator.mcp.memory import MOST_FOUND, Memory, SharedMemory
from ai_orchestrator.mcp.telling import as_tool_errors

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
FORGETS = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)
ASKS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)

DocumentName = Annotated[
    Literal["PORTFOLIO_CONTEXT.md", "PROJECT_CONTEXT.md", "SESSION_BRIEFING.md", "SESSION_LOG.md"],
    Field(description="From broad to narrow: all projects, this project, where we are now, the journal."),
]
EditableName = Literal["PORTFOLIO_CONTEXT.md", "PROJECT_CONTEXT.md", "SESSION_BRIEFING.md"]
WholeText = Annotated[
    str, Field(max_length=MAX_DOCUMENT_BYTES, description="The whole new document, in markdown.")
]
BaseVersion = Annotated[
    str,
    Field(
        min_length=7,
        max_length=40,
        pattern="^[0-9a-f]+$",
        description="`version` of the text that was read and changed.",
    ),
]
Project = Annotated[
    str | None,
    Field(min_length=1, max_length=128, description="Whose documents; absent: the active project's."),
]
SearchedProject = Annotated[
    str | None,
    Field(
        min_length=1, max_length=128, description="Of the documents only this project's and the portfolio."
    ),
]
ConversationId = Annotated[str, Field(min_length=1, max_length=128)]


class DocumentText(BaseModel):
    name: str
    version: str = Field(description="Give it back as base_version with a changed text.")
    text: str


class Edited(DocumentText):
    merged: bool = Field(description="Others changed it since base_version: `text` has both.")
    conflicts: list[ConflictInfo] = Field(
        description="Lines that somebody else changed too; both are kept until resolve_conflict."
    )


class MessageText(BaseModel):
    role: str
    content: str
    created_at: str
    message_id: str
    tier: str | None
    model: str | None


class ConversationText(ConversationSummary):
    history: list[MessageText] = Field(description="Oldest first.")


class AnswerResult(BaseModel):
    response: str
    conversation_id: str
    model: str
    tier: str
    reason: str
    finish_reason: str | None


def add_tools(server: MCPServer[Any], memory: SharedMemory) -> None:
    _add_reading(server, memory)
    _add_writing(server, memory)


def _add_reading(server: MCPServer[Any], memory: SharedMemory) -> None:
    @server.tool(title="List the handoff documents", annotations=READS)
    def list_documents(project: Project = None) -> ContextSummary:
        """The handoff documents with their versions, from broad to narrow."""
        with as_tool_errors():
            return ContextSummary.model_validate(memory.look(lambda now: now.index(), project=project))

    @server.tool(title="Read a handoff document", annotations=READS)
    def read_document(name: DocumentName, project: Project = None) -> DocumentText:
        """A handoff document as it is now, with the version that an edit must be based on."""
        with as_tool_errors():
            return DocumentText.model_validate(memory.look(lambda now: now.show(name), project=project))

    @server.tool(title="Search the memory", annotations=READS)
    def search(
        query: Annotated[str, Field(min_length=1, max_length=1000)],
        limit: Annotated[int, Field(ge=1, le=MOST_FOUND)] = 10,
        project: SearchedProject = None,
    ) -> SearchAnswer:
        """Search everything that was said and written: conversations, and the log entries and documents of
        all projects."""
        with as_tool_errors():
            hits = memory.look(lambda now: now.search(query, limit, project))
            return SearchAnswer.model_validate({"results": hits})

    @server.tool(title="List conversations", annotations=READS)
    def list_conversations(limit: Annotated[int, Field(ge=1, le=500)] = 20) -> ConversationList:
        """The conversations with the assistant, the latest first."""
        with as_tool_errors():
            conversations = memory.look(lambda now: now.conversations(limit))
            return ConversationList.model_validate({"conversations": conversations})

    @server.tool(title="Read a conversation", annotations=READS)
    def read_conversation(
        conversation_id: ConversationId,
        limit: Annotated[int, Field(ge=1, le=1000, description="The newest messages.")] = 100,
    ) -> ConversationText:
        """The messages of a conversation, oldest first."""
        with as_tool_errors():
            conversation = memory.look(lambda now: now.conversation(conversation_id, limit))
            return ConversationText.model_validate(conversation)


def _add_writing(server: MCPServer[Any], memory: SharedMemory) -> None:
    @server.tool(title="Add an entry to the session log", annotations=WRITES)
    def append_log(
        caller: Caller,
        text: Annotated[
            str,
            Field(
                min_length=1, max_length=MAX_DOCUMENT_BYTES, description="What was done, decided, left open."
            ),
        ],
        entry_id: Annotated[
            str | None,
            Field(
                min_length=1,
                max_length=64,
                description="Chosen by the caller to make repeating safe: an id is added once.",
            ),
        ] = None,
        project: Project = None,
    ) -> EntryAnswer:
        """Add a dated entry at the end of the session log. Entries of several agents never mix."""
        # Fixed here, so that a call sent again after a lost connection adds nothing twice.
        known = entry_id or new_entry_id()
        with as_tool_errors():
            done = memory.do(lambda now: now.append(text, known), project=project, author=author_of(caller))
            return EntryAnswer.model_validate(done)

    @server.tool(title="Update the session briefing", annotations=WRITES)
    def update_briefing(
        caller: Caller, text: WholeText, base_version: BaseVersion, project: Project = None
    ) -> Edited:
        """Replace the session briefing (where we are now) with a text made from `base_version`.

        What others changed since is merged in; lines that both changed are kept twice and listed."""
        with as_tool_errors():
            return memory.do(
                lambda now: _edited(now, BRIEFING, text, base_version),
                project=project,
                author=author_of(caller),
            )

    @server.tool(title="Update a handoff document", annotations=WRITES)
    def update_document(
        caller: Caller,
        name: Annotated[EditableName, Field(description=f"{LOG} is only added to: append_log.")],
        text: WholeText,
        base_version: BaseVersion,
        project: Project = None,
    ) -> Edited:
        """As update_briefing, for the portfolio, the project or the briefing."""
        with as_tool_errors():
            return memory.do(
                lambda now: _edited(now, name, text, base_version), project=project, author=author_of(caller)
            )

    @server.tool(title="Resolve a conflict", annotations=WRITES)
    def resolve_conflict(
        caller: Caller,
        conflict_id: Annotated[str, Field(min_length=1, max_length=128)],
        text: Annotated[
            str, Field(max_length=MAX_DOCUMENT_BYTES, description="Takes the place of all sides.")
        ],
        project: Project = None,
    ) -> DocumentText:
        """Put a text in the place of lines that two sides changed at once."""
        with as_tool_errors():
            document = memory.do(
                lambda now: now.resolve(conflict_id, text),
                project=project,
                author=author_of(caller),
                repeatable=False,
            )
            return DocumentText.model_validate(document)

    @server.tool(title="Ask the assistant", annotations=ASKS)
    def ask(
        message: Annotated[str, Field(min_length=1, max_length=200_000)],
        conversation_id: Annotated[
            ConversationId | None, Field(description="Absent: a new conversation.")
        ] = None,
        max_tokens: Annotated[int | None, Field(ge=1, le=MAX_NEW_TOKENS)] = None,
        project: Project = None,
    ) -> AnswerResult:
        """Ask the owner's own model, which knows the documents. Needs a running desktop server."""
        fields = {"message": message, "conversation_id": conversation_id, "max_tokens": max_tokens}
        with as_tool_errors():
            answer = memory.do(lambda now: now.ask(fields), project=project, repeatable=False)
            return AnswerResult.model_validate(answer)


def _edited(memory: Memory, name: str, text: str, base_version: str) -> Edited:
    after = memory.edit(name, text, base_version)
    conflicts = [conflict for conflict in memory.conflicts() if conflict["name"] == name]
    # Line endings are made those of the document.
    merged = after["text"].splitlines() != text.splitlines()
    return Edited.model_validate({**after, "merged": merged, "conflicts": conflicts})
