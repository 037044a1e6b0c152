"""Bodies of `/handoff`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Self

from orchestrator_core.handoff.session import MOST_MESSAGES, Confirmation, Confirmed, Draft
from pydantic import BaseModel, Field, StringConstraints
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
    improve: bool = Field(
        False, description="Let the model word the lines better; what changes a fact is not taken."
    )


class BriefingDraft(BaseModel):
    text: str = Field(description="The whole briefing as it would be.")
    base_version: str | None = Field(description="Version it was made from; null: there is none yet.")
    base_text: str
    diff: str = Field(description="From the present text to the draft, unified.")


class HandoffDraft(BaseModel):
    """Nothing is stored until it is confirmed."""

    conversation_id: str
    entry_id: str = Field(description="The same for the same messages.")
    entry: str = Field(description="Markdown without the dated heading, which the log adds.")
    briefing: BriefingDraft
    sources: list[str] = Field(description="Ids of the messages it covers.")
    notes: list[str]

    @classmethod
    def of(cls, draft: Draft) -> Self:
        return cls(
            conversation_id=draft.conversation_id,
            entry_id=draft.entry_id,
            entry=draft.entry,
            briefing=BriefingDraft(
                text=draft.briefing,
                base_version=draft.base_version,
                base_text=draft.base_text,
                diff=draft.diff,
            ),
            sources=list(draft.sources),
            notes=list(draft.notes),
        )


class ConfirmHandoffBody(Body):
    """A draft as the owner wants it. `entry` or `briefing` may be null: that part is left as it is."""

    conversation_id: ConversationId | None = None
    project: Project | None = None
    entry_id: EntryId
    sources: list[MessageId] | None = Field(
        None, min_length=1, max_length=MOST_MESSAGES, description="Absent: those of the draft with this id."
    )
    entry: str | None = Field(None, min_length=1, max_length=MAX_DOCUMENT_BYTES)
    briefing: str | None = Field(None, max_length=MAX_DOCUMENT_BYTES)
    base_version: str | None = Field(None, min_length=1, max_length=200)

    def confirmation(self) -> Confirmation:
        return Confirmation(
            conversation_id=self.conversation_id or DEFAULT_CONVERSATION,
            entry_id=self.entry_id,
            sources=None if self.sources is None else tuple(self.sources),
            entry=self.entry,
            briefing=self.briefing,
            base_version=self.base_version,
        )


class HandoffAnswer(BaseModel):
    entry_id: str
    log_version: str | None = Field(description="Of SESSION_LOG.md; null: no entry was wanted.")
    briefing_version: str | None = Field(description="Of SESSION_BRIEFING.md; null: it was left as it was.")
    merged: bool = Field(description="The briefing had changed meanwhile; both are in it now.")
    repeated: bool = Field(description="It had been confirmed before; nothing was written now.")

    @classmethod
    def of(cls, done: Confirmed) -> Self:
        return cls.model_validate(asdict(done))
