"""`/conversation/save` and `/load`: conversations as files in the data folder's `exports/`."""

from __future__ import annotations

from pathlib import Path

from orchestrator_core.errors import Forbidden, NotFound
from shared_context.conversations.migrations import DEFAULT_CONVERSATION
from shared_context.conversations.transfer import load_conversation, save_conversation

from orchestrator_http.api import Api
from orchestrator_http.routes.conversations import conversation_answer
from orchestrator_http.schemas.conversations import (
    ConversationAnswer,
    HistoryQuery,
    LoadBody,
    SaveBody,
    SavedConversation,
)
from orchestrator_http.services import services

FOLDER = "exports"

api = Api("exports")


@api.route("POST", "/conversation/save", summary="Write a conversation to a file", errors=(404, 507))
def save(body: SaveBody) -> SavedConversation:
    """A file of that name is replaced."""
    here = services()
    conversation_id = body.conversation_id or DEFAULT_CONVERSATION
    store = here.assistant.conversations
    summary = store.get(conversation_id)
    save_conversation(store, conversation_id, export_path(here.settings.data, body.filename))
    return SavedConversation(
        filename=body.filename, conversation_id=conversation_id, turn_count=summary.turn_count
    )


@api.route("POST", "/conversation/load", summary="Read a conversation from a file", errors=(404, 507))
def load(body: LoadBody) -> ConversationAnswer:
    """Messages that are there already stay as they are, so loading twice changes nothing."""
    here = services()
    path = export_path(here.settings.data, body.filename)
    if not path.is_file():
        raise NotFound(
            f"There is no file {body.filename!r} in the exports of this server.",
            hint="Put it into the data folder's exports/, or save a conversation first.",
        )
    loaded = load_conversation(here.assistant.conversations, path, body.conversation_id)
    return conversation_answer(loaded.conversation_id, HistoryQuery().limit)


def export_path(data: Path, name: str) -> Path:
    """Where the export of this name lies; `name` was validated to be no path.

    Raises:
        Forbidden: the name is a link that leads out of the exports.
    """
    folder = data / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / name
    if path.resolve().parent != folder.resolve():
        raise Forbidden(f"{name!r} leads out of the exports folder.")
    return path
