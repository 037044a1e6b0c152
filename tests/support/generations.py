"""What a backend is asked for, and its answer read to the end."""

from __future__ import annotations

from orchestrator_core.backend import Generation
from orchestrator_core.generation import GenerationConfig


def said(generation: Generation) -> str:
    return "".join(token.text for token in generation)


def greedy(**fields: object) -> GenerationConfig:
    return GenerationConfig.model_validate({"greedy": True, "repetition_penalty": 1.0, **fields})
