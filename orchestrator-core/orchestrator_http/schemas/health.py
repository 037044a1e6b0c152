"""Bodies of `/health`, `/ready`, `/info` and `/model/info`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from orchestrator_http.schemas.common import Answer


class HealthAnswer(BaseModel):
    """Says only that the process answers: it is served without a key."""

    status: Literal["ok", "stopping"]


class ReadyAnswer(BaseModel):
    status: Literal["ready"]


class TierFields(Answer):
    """Another tier, as this one sees it; see `tiers.remote.TierState`."""

    name: str
    reachable: bool
    ready: bool
    queue: int
    up_s: float
    drops: int
    why: str


class EmbeddingFields(Answer):
    """Search by meaning; see `retrieval.embedding.EmbeddingState`."""

    model: str
    passages: int
    embedded: int = Field(description="Passages that have a vector already.")
    refused: int = Field(description="Passages the model cannot take; they are found by their words.")
    problem: str | None = Field(description="Why no vectors are made at the moment.")


class InfoAnswer(BaseModel):
    name: str
    version: str
    tier: str
    model: str | None = Field(description="Null until the model is loaded.")
    backend: str
    state: Literal["loading", "ready", "failed"]
    context_length: int | None
    uptime_s: float
    waiting: int = Field(0, description="Answers that wait for a free place.")
    relay: dict[str, TierFields] | None = Field(
        None, description="The other tier under its name; null where there is none."
    )
    embeddings: EmbeddingFields | None = Field(None, description="Null where search goes by words alone.")
    notices: list[str] = Field([], description="What the owner has to know and to act upon; mostly nothing.")


class LoadFields(Answer):
    running: int
    waiting: int
    kv_cells_used: int
    kv_cells_total: int
    restarts: int
    loaded: bool


class ModelInfoAnswer(BaseModel):
    tier: str
    backend: str
    model: str
    context_length: int
    adapter: str | None
    base: str | None
    quantization: str | None
    device: str
    device_reason: str
    exact_token_counts: bool
    details: dict[str, Any]
    load: LoadFields
