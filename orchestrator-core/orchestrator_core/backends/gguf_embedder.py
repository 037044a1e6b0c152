"""GGUF embedding models through llama.cpp, in an engine process of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator_core.backends.llama_cpp import require_llama_cpp
from orchestrator_core.engine.load import LoadSpec
from orchestrator_core.engine.supervisor import Supervisor
from orchestrator_core.errors import ModelNotFound
from orchestrator_core.settings import Settings

THREADS = 1
"""Embedding models are small, and several threads wait for each other wherever something else computes:
measured with all-MiniLM-L6-v2 on two busy cores, a question took 16 ms with one (p95 24) and 80 with two (900)."""


class GgufEmbedder:
    """Turns texts into vectors of length 1. Nothing is loaded before the first use. Safe from any thread.

    Args:
        path: a GGUF file that says how its tokens' vectors become one of the text (mean, cls, last);
            where it does not, the mean is taken, as of a chat model.
        settings: `engine` and `model.device` are looked at.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        engine = settings.engine
        spec = LoadSpec(
            model=str(path),
            gpu_layers=None if engine.n_gpu_layers == "auto" else engine.n_gpu_layers,
            device=settings.model.device,
            threads=THREADS,
            max_queue=engine.max_queue,
            embeddings=True,
        )
        self._supervisor = Supervisor(spec, idle_unload_s=engine.idle_unload_s)

    def load(self) -> None:
        """
        Raises:
            ModelNotFound, ModelUnusable, MissingExtra.
        """
        self.check()
        self._supervisor.ensure_ready()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text. A text longer than the model takes at once counts with the mean of its parts.

        Raises:
            InvalidRequest: a text is empty or not Unicode.
            ModelNotFound, ModelUnusable, MissingExtra, Overloaded, EngineLost.
        """
        if not texts:
            return []
        self.check()
        vectors: list[list[float]] = self._supervisor.call("embed", texts=list(texts))["vectors"]
        return vectors

    def details(self) -> dict[str, Any]:
        """Of the loaded model: `pooling`, `width`, `threads` and more."""
        self.check()
        return dict(self._supervisor.ensure_ready().details)

    @property
    def pid(self) -> int | None:
        """Process id of the engine, while it runs."""
        return self._supervisor.pid

    def close(self) -> None:
        self._supervisor.close()

    def check(self) -> None:
        """What can be said without starting a process.

        Raises:
            ModelNotFound, MissingExtra.
        """
        require_llama_cpp()
        if not self._path.is_file():
            raise ModelNotFound(
                f"The embedding model {str(self._path)!r} does not exist.",
                hint="Set context.embeddings to a GGUF file or to 'engine', or leave it out.",
            )
