from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf_random import lora_adapter, random_model
from gguf_scripted import scripted_model
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.settings import Settings
from support.llama_backend import CONTEXT, LONG, SENTENCE, Make


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    shape = {"layers": 2, "width": 128, "heads": 4, "kv_heads": 2, "ffn": 256, "vocab": 512}
    return {
        "scripted": scripted_model(folder / "scripted.gguf", SENTENCE, context=CONTEXT),
        "long": scripted_model(folder / "long.gguf", LONG, context=CONTEXT),
        "random": random_model(folder / "random.gguf", **shape, context=CONTEXT, quant="F32", seed=3),
        "adapter": lora_adapter(folder / "adapter.gguf", layers=2, width=128, heads=4),
    }


@pytest.fixture
def make(models: dict[str, Path], tmp_path: Path) -> Iterator[Make]:
    made: list[LlamaCppBackend] = []

    def new(model: str | Path = "scripted", **fields: object) -> LlamaCppBackend:
        path = models[model] if isinstance(model, str) else model
        settings = Settings.model_validate(
            {
                "data": tmp_path / "data",
                "model": {"path": str(path), "context_length": CONTEXT},
                "engine": {"threads": 1, "prefill_chunk": 64, **fields},
            }
        )
        made.append(LlamaCppBackend(settings))
        return made[-1]

    yield new
    for backend in made:
        backend.close()
