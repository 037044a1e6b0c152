"""Bodies of `/context`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from orchestrator_core.prompt.receipt import Receipt
from pydantic import BaseModel, Field
from shared_context.documents.document_names import MAX_DOCUMENT_BYTES
from shared_context.documents.log_entry import AUTHOR

from orchestrator_http.schemas.common import Answer, Body, ConversationId, Identifier, Parameters

DocumentName = Literal["PORTFOLIO_CONTEXT.md", "PROJECT_CONTEXT.md", "SESSION_BRIEFING.md", "SESSION_LOG.md"]


Project = Annotated[
    str, Field(min_length=1, max_length=128, description="Whose documents; absent: the active project's.")
]


class ProjectQuery(Parameters):
    project: Project | None = None


class DocumentPath(Parameters):
    name: DocumentName


class DocumentVersionPath(DocumentPath):
    version: Identifier


class DocumentSummary(BaseModel):
    name: str
    version: str
    updated_at: str
    author: str
    conflicts: int


class DocumentInfo(DocumentSummary):
    tokens: int | None = Field(description="Null until the model is loaded.")


class ContextSummary(BaseModel):
    project: str | None
    projects: list[str] = Field(description="All there are.")
    documents: Sequence[DocumentSummary] = Field(description="From broad to narrow.")
    problems: list[str] = Field(description="Files left alone, and why.")


class ContextAnswer(ContextSummary):
    documents: Sequence[DocumentInfo] = Field(description="From broad to narrow.")


class DocumentAnswer(BaseModel):
    name: str
    version: str
    text: str


class AuthorHeader(Parameters):
    author: str | None = Field(
        None,
        alias="X-Author",
        pattern=f"^{AUTHOR}$",
        description="Who writes, for the document's history; absent: this tier.",
    )


class IfMatch(AuthorHeader):
    value: str | None = Field(None, alias="If-Match", max_length=200, description="ETag of the base version.")


class IfNoneMatch(Parameters):
    value: str | None = Field(None, alias="If-None-Match", max_length=1000)


class EditBody(Body):
    text: str = Field(max_length=MAX_DOCUMENT_BYTES)


class EntryBody(Body):
    text: str = Field(min_length=1, max_length=MAX_DOCUMENT_BYTES)
    entry_id: str | None = Field(None, min_length=1, max_length=64, description="Makes repeating it safe.")


class EntryAnswer(BaseModel):
    name: str
    version: str
    entry_id: str


class HistoryLimit(ProjectQuery):
    limit: int = Field(100, ge=1, le=1000)


class VersionInfo(Answer):
    version: str
    author: str
    at: str
    summary: str


class HistoryAnswer(BaseModel):
    versions: list[VersionInfo] = Field(description="Newest first.")


class RestoreBody(Body):
    version: Identifier


class ConflictSideInfo(Answer):
    author: str
    text: str = Field(description="Empty: this side deleted what the other one changed.")


class ConflictInfo(Answer):
    conflict_id: str
    name: str
    line: int
    sides: list[ConflictSideInfo]


class ConflictsAnswer(BaseModel):
    conflicts: list[ConflictInfo]


class ConflictPath(Parameters):
    conflict_id: Identifier


class ResolveBody(Body):
    text: str = Field(max_length=MAX_DOCUMENT_BYTES)


class PreviewQuery(ProjectQuery):
    conversation_id: ConversationId | None = None
    message: str | None = Field(None, min_length=1, max_length=200_000)


class PreviewAnswer(BaseModel):
    prompt: str = Field(description="Byte for byte what the model would be sent.")
    prompt_tokens: int
    receipt: Receipt


class LoadContextBody(Body):
    name: DocumentName = "SESSION_BRIEFING.md"
    max_tokens: int | None = Field(
        None, ge=1, le=10_000_000, description="Absent: a quarter of the model's window."
    )
    project: Project | None = None


class LoadedContextAnswer(Answer):
    """A document as text to send as `context`, cut at headings or entries to fit."""

    name: str
    version: str
    text: str
    tokens: int
    tokens_left_out: int
    left_out: list[str] = Field(description="Headings or entries that are missing.")
