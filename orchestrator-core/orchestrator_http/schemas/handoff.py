"""Bodies of `/handoff`."""

from __future__ import annotations

from typing import Annotated

from orchestrator_core.handoff.session import MOST_MESSAGES, Confirmation, DocumentEdit
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from shared_context.conversations.migrations import DEFAULT_CONVERSATION
from shared_context.documents.document_names import MAX_DOCUMENT_BYTES

from orchestrator_http.schemas.common import Body, ConversationId
from orchestrator_http.schemas.context import Project

EntryId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+([._:-][A-Za-z0-9]+)*$", max_length=64)]
"""As entries of the session log take them."""

MessageId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class HandoffBody(Body):
    conversation_id: ConversationId | None = Field(None, description="Absent: the default conversation.")
    project: Project | None = None
    use_model: bool = Field(
        True, description="Let the answering model propose items; each must quote the conversation."
    )


class _Of(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class DocumentDraft(_Of):
    name: str
    text: str = Field(description="The whole document as it would be.")
    base_version: str | None = Field(description="Version it was made from; null: there is none yet.")
    base_text: str
    diff: str = Field(description="From the present text to the draft, unified; empty: no change.")


class DraftedItem(_Of):
    item_id: str
    kind: str
    text: str
    quote: str = Field(description="Words of the message that prove it.")
    message_id: str
    by_assistant: bool
    resolves: str | None = Field(description="The older item that it settles or replaces.")


class HandoffDraft(_Of):
    """Nothing is stored until it is confirmed."""

    conversation_id: str
    entry_id: str = Field(description="The same for the same messages.")
    entry: str = Field(description="Markdown without the dated heading, which the log adds.")
    documents: list[DocumentDraft]
    items: list[DraftedItem]
    sources: list[str] = Field(description="Ids of the messages it covers.")
    notes: list[str]


class DocumentEditBody(Body):
    name: str = Field(max_length=100)
    text: str = Field(max_length=MAX_DOCUMENT_BYTES)
    base_version: str | None = Field(None, min_length=1, max_length=200)


class ConfirmHandoffBody(Body):
    """A draft as the owner wants it. What is left out stays as it is."""

    conversation_id: ConversationId | None = None
    project: Project | None = None
    entry_id: EntryId
    sources: list[MessageId] | None = Field(
        None, min_length=1, max_length=MOST_MESSAGES, description="Absent: those of the draft with this id."
    )
    entry: str | None = Field(None, min_length=1, max_length=MAX_DOCUMENT_BYTES)
    documents: list[DocumentEditBody] = Field(default_factory=list, max_length=3)

    def confirmation(self) -> Confirmation:
        return Confirmation(
            conversation_id=self.conversation_id or DEFAULT_CONVERSATION,
            entry_id=self.entry_id,
            sources=None if self.sources is None else tuple(self.sources),
            entry=self.entry,
            documents=tuple(DocumentEdit(edit.name, edit.text, edit.base_version) for edit in self.documents),
        )


class HandoffAnswer(_Of):
    entry_id: str
    log_version: str | None = Field(description="Of SESSION_LOG.md; null: no entry was wanted.")
    versions: dict[str, str] = Field(description="Of the documents as stored, by name.")
    merged: list[str] = Field(description="Documents that had changed meanwhile; both changes are in them.")
    repeated: bool = Field(description="It had been confirmed before; nothing was written now.")
