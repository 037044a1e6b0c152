"""The routes both servers share, grouped as in DESIGN §6."""

from __future__ import annotations

from orchestrator_http.api import Api
from orchestrator_http.routes import (
    anthropic,
    chat,
    completions,
    context,
    context_versions,
    conversations,
    devices,
    embeddings,
    exports,
    health,
    memory,
    models,
    ollama,
    push,
    raw,
    registry,
    responses,
    runs,
    sealed,
    search,
    sync,
)

SHARED: tuple[Api, ...] = (
    chat.api,
    runs.api,
    conversations.api,
    exports.api,
    search.api,
    context.api,
    context_versions.api,
    memory.api,
    sync.api,
    push.api,
    devices.api,
    models.api,
    registry.api,
    completions.chat_api,
    completions.text_api,
    responses.api,
    anthropic.api,
    ollama.api,
    embeddings.api,
    raw.api,
    health.api,
    sealed.api,
)
