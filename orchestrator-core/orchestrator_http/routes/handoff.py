"""`/handoff`: end a session. First a draft, then what the owner made of it."""

from __future__ import annotations

from contextlib import nullcontext

from shared_context.conversations.migrations import DEFAULT_CONVERSATION

from orchestrator_http.api import Api
from orchestrator_http.routes.context import context_folder
from orchestrator_http.schemas.context import AuthorHeader
from orchestrator_http.schemas.handoff import (
    ConfirmHandoffBody,
    HandoffAnswer,
    HandoffBody,
    HandoffDraft,
)
from orchestrator_http.services import services

api = Api("handoff")


@api.route("POST", "/handoff", summary="Draft the end of a session", errors=(404, 409, 429, 507))
def draft(body: HandoffBody) -> HandoffDraft:
    """What ending the session would write: a log entry, and the handoff documents with its items. Every item
    quotes the conversation. Nothing is stored. 409 when nothing was said since the last handoff."""
    here = services()
    context = context_folder(body.project)
    with here.places.hold() if body.use_model else nullcontext():
        drafted = here.handoffs.draft(
            body.conversation_id or DEFAULT_CONVERSATION, use_model=body.use_model, context=context
        )
    return HandoffDraft.model_validate(drafted)


@api.route("POST", "/handoff/confirm", summary="Store a draft as confirmed", errors=(404, 409, 412, 507))
def confirm(headers: AuthorHeader, body: ConfirmHandoffBody) -> HandoffAnswer:
    """Adds the entry to the log, merges each document as an edit of its `base_version`, and marks the
    messages. Sending it again changes nothing. 409 when a part was handed off meanwhile."""
    context = context_folder(body.project, headers)
    return HandoffAnswer.model_validate(services().handoffs.confirm(body.confirmation(), context=context))
