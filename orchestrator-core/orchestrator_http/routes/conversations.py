"""`/conversation` (the default one, as the first clients know it) and `/conversations`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import chain

from orchestrator_core.runs.run import Run
from shared_context.conversations.messages import Message
from shared_context.conversations.migrations import DEFAULT_CONVERSATION
from shared_context.conversations.store import ConversationStore

from orchestrator_http.api import Api
from orchestrator_http.schemas.conversations import (
    ConversationAnswer,
    ConversationList,
    ConversationPath,
    ConversationSummary,
    DefaultHistoryQuery,
    DeletedConversation,
    HistoryMessage,
    HistoryQuery,
    ListQuery,
    MessageFields,
    NewConversation,
    Title,
)
from orchestrator_http.services import services

STOP_WAIT_S = 5.0
"""How long deleting waits for a run in the conversation, whose text must not come back later."""

api = Api("conversations")


@api.route("GET", "/conversation", summary="The default conversation", errors=(404, 507))
def default(query: DefaultHistoryQuery) -> ConversationAnswer:
    return conversation_answer(query.conversation_id or DEFAULT_CONVERSATION, query.limit)


@api.route("DELETE", "/conversation", summary="Empty the default conversation", errors=(404, 507))
def clear(query: DefaultHistoryQuery) -> ConversationAnswer:
    """Its runs are stopped. The conversation itself stays, empty."""
    conversation_id = query.conversation_id or DEFAULT_CONVERSATION
    stop_runs(conversation_id)
    _store().clear(conversation_id)
    services().assistant.forget_deleted()
    return conversation_answer(conversation_id, query.limit)


@api.route("GET", "/conversations", summary="All conversations", errors=(404, 507))
def index(query: ListQuery) -> ConversationList:
    """Page by page: give the `next` of an answer as `before`. Conversations in which nothing was said and to
    which nobody gave a title are left out."""
    page = _store().list(query.limit + 1, query.before, empty=query.empty)
    more = len(page) > query.limit
    page = page[: query.limit]
    return ConversationList(
        conversations=[ConversationSummary.model_validate(conversation) for conversation in page],
        next=page[-1].cursor if more else None,
    )


@api.route("POST", "/conversations", summary="Begin a conversation", status=201, errors=(507,))
def create(body: NewConversation) -> ConversationSummary:
    """With the id of a conversation that exists, that one is answered."""
    return ConversationSummary.model_validate(_store().create(body.conversation_id, body.title))


@api.route("GET", "/conversations/<conversation_id>", summary="One conversation", errors=(404, 507))
def show(path: ConversationPath, query: HistoryQuery) -> ConversationAnswer:
    return conversation_answer(path.conversation_id, query.limit)


@api.route("PATCH", "/conversations/<conversation_id>", summary="Rename it", errors=(404, 507))
def rename(path: ConversationPath, body: Title) -> ConversationSummary:
    return ConversationSummary.model_validate(_store().rename(path.conversation_id, body.title))


@api.route("DELETE", "/conversations/<conversation_id>", summary="Delete it", errors=(404, 507))
def delete(path: ConversationPath) -> DeletedConversation:
    """Its runs are stopped, and nothing of it is left on this server. Deleting the default conversation empties it."""
    _store().get(path.conversation_id)
    stop_runs(path.conversation_id)
    _store().delete(path.conversation_id)
    services().assistant.forget_deleted()
    return DeletedConversation(conversation_id=path.conversation_id, deleted=True)


def conversation_answer(conversation_id: str, limit: int) -> ConversationAnswer:
    store = _store()
    summary = ConversationSummary.model_validate(store.get(conversation_id))
    active = _active_runs(conversation_id)
    messages, versions = store.messages(conversation_id, limit=limit), store.versions(conversation_id)
    # A run is active for a moment after its answer was stored: whoever followed it would see it twice.
    stored = {message.message_id for message in [*messages, *chain.from_iterable(versions.values())]}
    under_way = [run.run_id for run in active if run.spec.message_id not in stored]
    return ConversationAnswer(
        **summary.model_dump(),
        history=[_message(message, versions.get(message.message_id, ())) for message in messages],
        active_run=under_way[-1] if under_way else None,
    )


def stop_runs(conversation_id: str) -> None:
    """Cancel the runs answering in this conversation and wait a little for their end."""
    active = _active_runs(conversation_id)
    for run in active:
        run.cancel()
    for run in active:
        with contextlib.suppress(TimeoutError):
            run.wait(timeout=STOP_WAIT_S)


def _active_runs(conversation_id: str) -> list[Run]:
    """Those that answer in the conversation now, the oldest first."""
    return [run for run in services().assistant.runs.active() if run.spec.conversation_id == conversation_id]


def _store() -> ConversationStore:
    return services().assistant.conversations


def _message(message: Message, versions: Sequence[Message]) -> HistoryMessage:
    others = [MessageFields.model_validate(version) for version in versions]
    return HistoryMessage.model_validate(message).model_copy(update={"versions": others})
