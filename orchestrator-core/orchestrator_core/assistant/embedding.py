"""The model that makes embeddings for search, as `context.embeddings` names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shared_context.retrieval import encoder
from shared_context.retrieval.embedding import EmbeddingModel
from shared_context.retrieval.encoder import Encoder
from shared_context.retrieval.lasting import LastingModel
from shared_context.retrieval.static_vectors import NAME, StaticEmbedder

from orchestrator_core.backend import ChatBackend
from orchestrator_core.backends.gguf_embedder import GgufEmbedder
from orchestrator_core.backends.model_files import resolve_model_path
from orchestrator_core.backends.registered import in_force
from orchestrator_core.engine.saved_prefix import fingerprint
from orchestrator_core.errors import MissingExtra, OrchestratorError
from orchestrator_core.settings import Settings

ENGINE = "engine"
STATIC = "static"
ENCODER = "encoder"


def open_embedding(
    settings: Settings, backend: ChatBackend
) -> tuple[EmbeddingModel | None, Callable[[], object] | None]:
    """The model, and what closes it where it is one of its own; (None, None) without embeddings.

    Raises:
        ModelNotFound: the setting names a file that does not exist.
        MissingExtra: it names the encoder, which is not installed.
    """
    chosen = settings.context.embeddings
    if chosen is None:
        return None, None
    if chosen == STATIC:
        static = StaticEmbedder.installed()
        if static is None:
            return None, None
        lasting = LastingModel.of(NAME)
        return EmbeddingModel(static, NAME, immediate=True, with_before=False, lasting=lasting), None

    def idle() -> bool:
        return backend.stats().running == 0

    if chosen == ENCODER:
        if not Encoder.is_installed():
            raise MissingExtra(encoder.PACKAGE, ENCODER, f"context.embeddings: {ENCODER}")
        model = Encoder()
        return (
            EmbeddingModel(
                model,
                encoder.NAME,
                idle,
                load=model.load,
                with_before=False,
                lasting=LastingModel.of(encoder.NAME),
                meaning=encoder.MEANING,
                embed_question=model.embed_question,
            ),
            model.close,
        )
    if chosen == ENGINE:
        name = f"{ENGINE} {settings.model.path}"
        return EmbeddingModel(backend, name, idle, _content(_model_file(settings))), None
    path = Path(chosen).expanduser()
    embedder = GgufEmbedder(path, settings)
    embedder.check()
    return EmbeddingModel(embedder, path.name, idle, _content(path), embedder.load), embedder.close


def _model_file(settings: Settings) -> Path | None:
    """None for a remote model: its name is all that is known."""
    try:
        return resolve_model_path(in_force(settings))
    except OrchestratorError:
        return None


def _content(path: Path | None) -> str:
    """Changes with what is in the file."""
    try:
        return "" if path is None else fingerprint(str(path))
    except OSError:
        return ""
