"""Bodies of `/conversation`, `/conversations` and `/search`."""

from __future__ import annotations

from typing import Annotated, Any

from orchestrator_core.chat_request import NEW_CONVERSATION_ID
from pydantic import BaseModel, Field

from orchestrator_http.schemas.common import Answer, Body, ConversationId, Parameters

NewConversationId = Annotated[str, Field(pattern=NEW_CONVERSATION_ID)]

DEFAULT_FILE = "conversation_history.json"
ExportName = Field(
    DEFAULT_FILE,
    pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.json$",
    description="A file name in the data folder's exports/, never a path.",
)


class MessageFields(Answer):
    role: str
    content: str
    message_id: str
    created_at: str
    tier: str | None
    model: str | None
    run_id: str | None
    reply_to: str | None
    receipt: dict[str, Any] | None
    supersedes: str | None = Field(None, description="The answer that this one takes the place of.")


class HistoryMessage(MessageFields):
    versions: list[MessageFields] = Field([], description="Other versions of this answer, oldest first.")


class ConversationSummary(Answer):
    conversation_id: str
    title: str | None
    created_at: str
    updated_at: str
    turn_count: int = Field(description="Messages of the user.")


class ConversationAnswer(ConversationSummary):
    history: list[HistoryMessage] = Field(description="Oldest first.")
    active_run: str | None = Field(description="Id of the run answering in it now.")


class ConversationList(BaseModel):
    conversations: list[ConversationSummary] = Field(description="The latest first.")
    next: str | None = Field(
        None, description="Give it as `before` for the page that follows; null: there is none."
    )


class DeletedConversation(BaseModel):
    conversation_id: str
    deleted: bool


class ConversationPath(Parameters):
    conversation_id: ConversationId


class HistoryQuery(Parameters):
    limit: int = Field(1000, ge=1, le=10_000, description="Newest messages to return.")


class DefaultHistoryQuery(HistoryQuery):
    conversation_id: ConversationId | None = Field(None, description="Absent: the default one.")


class ListQuery(Parameters):
    limit: int = Field(50, ge=1, le=500)
    before: str | None = Field(
        None, min_length=1, max_length=300, description="The `next` of the page before, or its last id."
    )
    empty: bool = Field(False, description="Also those in which nothing was said and that have no title.")


class NewConversation(Body):
    title: str | None = Field(None, min_length=1, max_length=200)
    conversation_id: NewConversationId | None = Field(None, description="Absent: a new one is made.")


class Title(Body):
    title: str = Field(min_length=1, max_length=200)


class SaveBody(Body):
    filename: str = ExportName
    conversation_id: ConversationId | None = None


class SavedConversation(BaseModel):
    filename: str
    conversation_id: str
    turn_count: int


class LoadBody(Body):
    filename: str = ExportName
    conversation_id: ConversationId | None = Field(None, description="Absent: the one in the file.")


class SearchQuery(Parameters):
    q: str = Field(min_length=1, max_length=1000)
    limit: int = Field(20, ge=1, le=100)
    project: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="Of the documents only this project's and the portfolio; absent: all. Messages belong to"
        " no project and are always searched.",
    )


class SearchResult(Answer):
    source: str = Field(description="`message`, `conversation` (its title), `log` or `document`.")
    id: str = Field(description="Of the message or conversation, or `PATH#entry` or `PATH#heading`.")
    text: str
    at: str | None
    score: float = Field(description="Higher fits better; comparable within one answer.")
    conversation_id: str | None
    title: str | None
    project: str | None = Field(description="Whose document it is from; null: of no project.")


class SearchAnswer(BaseModel):
    results: list[SearchResult]
