"""The model that makes embeddings for search, as `context.embeddings` names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shared_context.retrieval.embedding import EmbeddingModel

from orchestrator_core.backends.base import ChatBackend
from orchestrator_core.backends.factory import resolve_model_path
from orchestrator_core.errors import ModelNotFound, OrchestratorError
from orchestrator_core.settings import Settings

ENGINE = "engine"
UNLOAD_S = 300.0
"""A model of its own leaves memory when nothing was embedded for so long."""


def open_embedding(
    settings: Settings, backend: ChatBackend
) -> tuple[EmbeddingModel | None, Callable[[], object] | None]:
    """The model, and what closes it where it is one of its own; (None, None) without embeddings.

    Raises:
        ModelNotFound: the setting names a file that does not exist.
    """
    chosen = settings.context.embeddings
    if chosen is None:
        return None, None
    if chosen == ENGINE:
        name = f"{ENGINE} {settings.model.path} {_signature(_model_file(settings))}"
        return EmbeddingModel(backend, name, lambda: backend.stats().running == 0), None
    path = Path(chosen).expanduser()
    if not path.is_file():
        raise ModelNotFound(
            f"The embedding model {str(path)!r} does not exist.",
            hint="Set context.embeddings to a GGUF file or to 'engine', or leave it out.",
        )
    from orchestrator_core.backends.llama_cpp import LlamaCppBackend

    own = settings.model_copy(deep=True)
    own.lora.enabled = False
    own.engine.save_prefix, own.engine.idle_unload_s = False, UNLOAD_S
    own.engine.max_sequences, own.model.context_length = 1, None
    embedder = LlamaCppBackend(own, path=path)
    model = EmbeddingModel(embedder, f"{path.name} {_signature(path)}", lambda: backend.stats().running == 0)
    return model, embedder.close


def _model_file(settings: Settings) -> Path | None:
    """None for a remote model: its name is all that is known."""
    try:
        return resolve_model_path(settings)
    except OrchestratorError:
        return None


def _signature(path: Path | None) -> str:
    """Changes with the file."""
    if path is None:
        return ""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"
