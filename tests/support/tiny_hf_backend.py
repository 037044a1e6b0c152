"""The `transformers` backend with a tiny model of random weights, on the CPU, and what it answers."""

from __future__ import annotations

from pathlib import Path

from orchestrator_core.backend import Prompt
from orchestrator_core.backends.transformers import TransformersBackend
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import Settings
from support.generations import said

ASK = Prompt.raw("<s>[INST] the cat sat on [/INST]")
GREEDY = GenerationConfig(greedy=True, max_new_tokens=24, repetition_penalty=1.0)


def backend_of(path: Path | str, **sections: dict[str, object]) -> TransformersBackend:
    model = {"backend": "transformers", "path": str(path), **sections.pop("model", {})}
    # So small that a second thread only gets in the way.
    engine = {"threads": 1, **sections.pop("engine", {})}
    return TransformersBackend(Settings.model_validate({"model": model, "engine": engine, **sections}))


def answer(backend: TransformersBackend, **config: object) -> str:
    return said(backend.generate(ASK, GenerationConfig.model_validate({**GREEDY.model_dump(), **config})))
