"""`/handoff`: end a session. First a draft, then what the owner made of it."""

from __future__ import annotations

from contextlib import nullcontext

from shared_context.conversations.migrations import DEFAULT_CONVERSATION

from orchestrator_http.api import Api
from orchestrator_http.routes.context import context_folder
from orchestrator_http.schemas.context import Writer
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
    """A log entry and an updated briefing, made of the conversation's own sentences since its last
    handoff. Nothing is stored. 409 when nothing was said since."""
    here = services()
    context = context_folder(body.project)
    with here.places.hold() if body.improve else nullcontext():
        draft = here.handoffs.draft(
            body.conversation_id or DEFAULT_CONVERSATION, improve=body.improve, context=context
        )
    return HandoffDraft.of(draft)


@api.route("POST", "/handoff/confirm", summary="Store a draft as confirmed", errors=(404, 409, 412, 507))
def confirm(headers: Writer, body: ConfirmHandoffBody) -> HandoffAnswer:
    """Adds the entry to the log, merges the briefing as an edit of `base_version`, and marks the
    messages. Sending it again changes nothing. 409 when a part was handed off meanwhile."""
    context = context_folder(body.project, headers)
    return HandoffAnswer.of(services().handoffs.confirm(body.confirmation(), context=context))
