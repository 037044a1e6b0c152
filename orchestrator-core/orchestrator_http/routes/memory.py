"""`/memory`: the items of the handoff documents."""

from __future__ import annotations

from orchestrator_core.errors import InvalidRequest
from orchestrator_core.handoff.memory import MemoryItems

from orchestrator_http.api import Api
from orchestrator_http.routes.context import context_folder
from orchestrator_http.schemas.context import AuthorHeader, ProjectQuery
from orchestrator_http.schemas.memory import (
    ForgetQuery,
    ForgottenItem,
    ItemBody,
    ItemFields,
    ItemPath,
    ItemsAnswer,
    ItemsQuery,
)
from orchestrator_http.services import services

api = Api("memory")


@api.route("GET", "/memory", summary="The items of the documents", errors=(404, 507))
def index(query: ItemsQuery) -> ItemsAnswer:
    """To-dos, open questions, decisions and lasting facts, each with its origin."""
    items = MemoryItems(context_folder(query.project)).items(query.state)
    return ItemsAnswer(items=[ItemFields.model_validate(item) for item in items])


@api.route(
    "PATCH", "/memory/<item_id>", summary="Reword or settle an item", errors=(404, 507), repeatable=True
)
def change(path: ItemPath, query: ProjectQuery, headers: AuthorHeader, body: ItemBody) -> ItemFields:
    items = MemoryItems(context_folder(query.project, headers))
    if (body.text is None) == (body.outcome is None):
        raise InvalidRequest("Give either a text or an outcome.", param="text")
    if body.text is not None:
        return ItemFields.model_validate(items.edit(path.item_id, body.text))
    assert body.outcome is not None
    return ItemFields.model_validate(items.settle(path.item_id, body.outcome))


@api.route("DELETE", "/memory/<item_id>", summary="Forget an item", errors=(404, 507))
def forget(path: ItemPath, query: ForgetQuery, headers: AuthorHeader) -> ForgottenItem:
    """Removes it from the documents, its sentence from the log, and the message that it came from with the
    answers to it; runs, index and receipts forget them at once."""
    assistant = services().assistant
    items = MemoryItems(context_folder(query.project, headers))
    forgotten = items.forget(path.item_id, assistant.conversations, history=query.history)
    assistant.forget_deleted()
    return ForgottenItem.model_validate(forgotten)
