"""GGUF models through llama.cpp, in an engine process of their own."""

from __future__ import annotations

import importlib.util
import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator_core.backend import (
    BackendDescription,
    BackendStats,
    ChatBackend,
    FinishReason,
    Generation,
    ModelNames,
    Prompt,
    SpecialTokens,
    Token,
)
from orchestrator_core.engine.load import Loaded, LoadSpec
from orchestrator_core.engine.stream import AnswerStream
from orchestrator_core.engine.supervisor import EngineState, Supervisor
from orchestrator_core.errors import ConfigurationError, ContextLengthExceeded, MissingExtra, ModelNotFound
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import Settings

log = logging.getLogger(__name__)

ROUND_TOKENS = 512
"""Tokens of an answer without a limit that the engine keeps cells free for at a time."""


def require_llama_cpp() -> None:
    """
    Raises:
        MissingExtra: it is not installed.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        raise MissingExtra("llama-cpp-python", "gguf", "Running a GGUF model")


class LlamaCppBackend(ChatBackend):
    """Answers with a GGUF file. Nothing is loaded before the first use.

    Args:
        settings: `model`, `engine`, `lora` and `data` are looked at.
        names: instead of the file's.
    """

    def __init__(
        self, settings: Settings, *, path: Path | None = None, names: ModelNames | None = None
    ) -> None:
        self._settings = settings
        self._names = names
        self._path = path if path is not None else Path(settings.model.path).expanduser()
        self._supervisor = Supervisor(self._spec(), idle_unload_s=settings.engine.idle_unload_s)

    def load(self) -> None:
        self._check()
        self._supervisor.ensure_ready(retry=True)

    def generate(self, prompt: Prompt, config: GenerationConfig, *, continue_from: str = "") -> Generation:
        self._check()
        return LlamaCppGeneration(partial(self._supervisor.generate, prompt.pieces), continue_from, config)

    def count_tokens(self, text: str) -> int:
        return self._count("count_text", text=text)

    def count_prompt(self, prompt: Prompt) -> int:
        return self._count("count", pieces=list(prompt.pieces))

    @property
    def context_length(self) -> int:
        return self._loaded().context_length

    def describe(self) -> BackendDescription:
        loaded = self._loaded()
        adapter = self._adapter()
        return BackendDescription(
            backend="llama_cpp",
            model=self._path.name if self._names is None else self._names.model,
            context_length=loaded.context_length,
            adapter=Path(adapter).name if adapter else None,
            base=None if adapter is None else (self._names and self._names.base) or self._path.name,
            quantization=loaded.quantization,
            device=loaded.device,
            device_reason=loaded.device_reason,
            details={"description": loaded.description, **loaded.details},
        )

    def close(self) -> None:
        self._supervisor.close()

    def chat_template(self, *, tools: bool = False) -> str | None:
        loaded = self._loaded()
        return (loaded.tool_template if tools else None) or loaded.template

    def special_tokens(self) -> SpecialTokens:
        loaded = self._loaded()
        control, infill = frozenset(loaded.control), tuple(loaded.infill)
        return SpecialTokens(loaded.bos, loaded.eos, control, loaded.adds_bos, infill)

    def suggested_sampling(self) -> dict[str, float]:
        return dict(self._loaded().sampling)

    def text_of(self, tokens: Sequence[int]) -> str:
        self._check()
        return str(self._supervisor.call("text", tokens=list(tokens))["text"])

    @property
    def gives_logprobs(self) -> bool:
        return True

    def holds_to(self, schema: Mapping[str, Any]) -> bool:
        from orchestrator_core.engine.json_grammar import is_enforced

        return is_enforced(schema)

    def prewarm(self, prompt: Prompt) -> None:
        """Pins the prompt's stable prefix (all of it where none is marked), and caches what follows it."""
        pinned = _beginning(prompt)
        self._supervisor.prewarm(pinned, prompt.pieces if pinned != list(prompt.pieces) else ())

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Mean of the last hidden states, of length 1. From a chat model, so good for rough likeness only."""
        if not texts:
            return []
        self._check()
        vectors: list[list[float]] = self._supervisor.call("embed", texts=list(texts))["vectors"]
        return vectors

    def stats(self) -> BackendStats:
        figures = self._supervisor.peek("stats")
        if figures is None:
            return BackendStats(restarts=self._supervisor.restarts, loaded=False)
        return BackendStats(
            running=figures["running"],
            waiting=figures["waiting"],
            kv_cells_used=figures["used"],
            kv_cells_total=figures["total"],
            restarts=self._supervisor.restarts,
        )

    @property
    def pid(self) -> int | None:
        """Process id of the engine, while it runs."""
        return self._supervisor.pid

    @property
    def state(self) -> EngineState:
        return self._supervisor.state

    def engine_figures(self) -> dict[str, Any]:
        """All of the engine's figures, for benchmarks and tests; empty while it does not run."""
        return self._supervisor.peek("stats") or {}

    def _loaded(self) -> Loaded:
        known = self._supervisor.loaded
        if known is not None:
            return known
        self._check()
        return self._supervisor.ensure_ready()

    def _count(self, op: str, **fields: Any) -> int:
        self._check()
        return int(self._supervisor.call(op, **fields)["tokens"])

    def _check(self) -> None:
        """What can be said without starting a process."""
        require_llama_cpp()
        if not self._path.is_file():
            raise ModelNotFound(
                f"The model file {str(self._path)!r} does not exist.",
                hint="Set model.path (or ORCHESTRATOR_MODEL) to a GGUF file.",
            )
        adapter = self._adapter()
        if adapter is not None and not Path(adapter).is_file():
            raise ModelNotFound(
                f"The LoRA adapter {adapter!r} does not exist.", hint="Set lora.path to a GGUF adapter."
            )

    def _adapter(self) -> str | None:
        lora = self._settings.lora
        if not lora.enabled or not lora.path:
            return None
        if not lora.path.endswith(".gguf"):
            raise ConfigurationError(
                f"llama.cpp needs a LoRA adapter in GGUF, not {lora.path!r}.",
                hint="Convert the adapter to GGUF, or use the transformers backend.",
            )
        return str(Path(lora.path).expanduser())

    def _spec(self) -> LoadSpec:
        engine = self._settings.engine
        return LoadSpec(
            model=str(self._path),
            adapter=self._adapter(),
            context_length=self._settings.model.context_length,
            gpu_layers=None if engine.n_gpu_layers == "auto" else engine.n_gpu_layers,
            device=self._settings.model.device,
            threads=engine.threads,
            max_sequences=engine.max_sequences,
            max_queue=engine.max_queue,
            prefill_chunk=engine.prefill_chunk,
            kv_tokens=engine.kv_tokens,
            state_folder=str(self._settings.data / "engine") if engine.save_prefix else None,
        )


class LlamaCppGeneration(Generation):
    """An answer the engine is working on. When nobody holds it any more, the engine stops.

    The engine keeps cells free for all that an answer may become. One without a limit asks in rounds:
    with the whole window kept for it, others would wait for what it seldom uses.

    Args:
        begin: has the engine go on after a text.
        shown: beginning of the answer.
    """

    def __init__(
        self, begin: Callable[[str, GenerationConfig], AnswerStream], shown: str, config: GenerationConfig
    ) -> None:
        self._begin = begin
        self._texts = [shown]
        self._config = config
        self._earlier_tokens = 0
        self._cancelled = False
        self._switching = threading.Lock()
        self._next_stream()

    def __iter__(self) -> Iterator[Token]:
        return self

    def __next__(self) -> Token:
        while True:
            token = self._stream.read()
            last = self._stream.usage
            self.usage = replace(
                self.usage if self._earlier_tokens else last,
                completion_tokens=self._earlier_tokens + last.completion_tokens,
            )
            if token is not None:
                self._texts.append(token.text)
                return token
            if not self._next_round(last.completion_tokens):
                raise StopIteration

    def cancel(self) -> None:
        with self._switching:
            self._cancelled = True
            self._stream.cancel()

    def _next_round(self, made: int) -> bool:
        """Whether the answer goes on after a round of `made` tokens: it was not the window that ended it."""
        self.finish_reason = self._stream.finish_reason
        ended = self.finish_reason is not FinishReason.LENGTH
        if ended or self._config.max_new_tokens is not None or made < ROUND_TOKENS:
            return False
        self._earlier_tokens += made
        with self._switching:
            if self._cancelled:
                self.finish_reason = FinishReason.CANCELLED
                return False
            try:
                self._next_stream()
            except ContextLengthExceeded:
                return False
        self.finish_reason = None
        return True

    def _next_stream(self) -> None:
        limit = {} if self._config.max_new_tokens is not None else {"max_new_tokens": ROUND_TOKENS}
        self._stream = self._begin("".join(self._texts), self._config.model_copy(update=limit))
        weakref.finalize(self, self._stream.cancel).atexit = False


def _beginning(prompt: Prompt) -> list[str]:
    """The pieces up to the stable prefix."""
    left = prompt.stable_prefix or len(prompt.text)
    pieces = []
    for piece in prompt.pieces:
        if left <= 0:
            break
        pieces.append(piece[:left])
        left -= len(piece)
    return pieces
