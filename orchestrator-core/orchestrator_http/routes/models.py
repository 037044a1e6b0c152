"""`/v1/models`: the model this server answers with, and the assistant that is made of it."""

from __future__ import annotations

import time

from pydantic import Field

from orchestrator_http.api import Api
from orchestrator_http.completions.chat_answers import ASSISTANT, means_assistant
from orchestrator_http.schemas.common import Parameters
from orchestrator_http.schemas.openai_answers import ModelCard, ModelCards
from orchestrator_http.services import services

api = Api("models", scope="ask")


class ModelPath(Parameters):
    model: str = Field(min_length=1, max_length=500)


@api.route("GET", "/v1/models", summary="The models there are", errors=(502, 504))
def index() -> ModelCards:
    card = _card()
    return ModelCards(data=[card, _assistant(card)])


@api.route("GET", "/v1/models/<path:model>", summary="One model", errors=(404, 502, 504))
def show(path: ModelPath) -> ModelCard:
    """The model that a request with this name gets: any name but the assistant's is the bare model's."""
    card = _card()
    return _assistant(card) if means_assistant(path.model) else card


def _card() -> ModelCard:
    here = services()
    here.model.ensure()
    described = here.assistant.backend.describe()
    loaded_at = int(time.time() - here.uptime_s())
    return ModelCard(id=described.model, created=loaded_at, context_length=described.context_length)


def _assistant(card: ModelCard) -> ModelCard:
    """The assistant: the same model with the documents, what is recalled, and a stored conversation."""
    return card.model_copy(update={"id": ASSISTANT})
