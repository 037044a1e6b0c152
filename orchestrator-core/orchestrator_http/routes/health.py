"""`/health`, `/ready`, `/metrics`, `/info`, `/model/info`."""

from __future__ import annotations

from dataclasses import asdict

from flask import Response
from orchestrator_core.metrics import CONTENT_TYPE

from orchestrator_http.api import TEXT, Api
from orchestrator_http.schemas.health import (
    EmbeddingFields,
    HealthAnswer,
    InfoAnswer,
    LoadFields,
    ModelInfoAnswer,
    ReadyAnswer,
    TierFields,
)
from orchestrator_http.services import services

api = Api("health", scope="ask", answered_by="here", quiet=True)


@api.route("GET", "/health", summary="Whether the server answers", open=True)
def health() -> HealthAnswer:
    """Served without a key, and says nothing else. Whether the model is loaded: `/ready`."""
    return HealthAnswer(status="stopping" if services().stopping.is_set() else "ok")


@api.route("GET", "/ready", summary="Whether the model is loaded", for_desktop="source")
def ready() -> ReadyAnswer:
    """503 with the code `loading` until then, or with the reason why it cannot be loaded."""
    services().model.check()
    return ReadyAnswer(status="ready")


@api.route("GET", "/metrics", summary="Metrics, in Prometheus' text format", media=(TEXT,))
def metrics() -> Response:
    return Response(services().metrics.render(), content_type=CONTENT_TYPE)


@api.route("GET", "/info", summary="What this server is", for_desktop="source")
def info() -> InfoAnswer:
    here = services()
    described = here.assistant.backend.describe() if here.model.state == "ready" else None
    memory = here.assistant.memory
    embeddings = None if memory is None else memory.embedding_state()
    other = None if here.assistant.remote is None else here.assistant.remote.state()
    return InfoAnswer(
        name="orchestrator",
        version=here.version,
        tier=here.assistant.tier,
        model=described.model if described else None,
        backend=described.backend if described else here.settings.model.backend,
        state=here.model.state,
        context_length=described.context_length if described else None,
        uptime_s=round(here.uptime_s(), 3),
        waiting=here.assistant.backend.stats().waiting,
        relay=None if other is None else {other.name: TierFields.model_validate(other)},
        embeddings=None if embeddings is None else EmbeddingFields.model_validate(embeddings),
        notices=[notice for source in here.notices for notice in source()],
    )


@api.route("GET", "/model/info", summary="The model that answers", errors=(502, 504))
def model_info() -> ModelInfoAnswer:
    here = services()
    here.model.check()
    backend = here.assistant.backend
    return ModelInfoAnswer(
        tier=here.assistant.tier,
        **asdict(backend.describe()),
        load=LoadFields.model_validate(backend.stats()),
    )
