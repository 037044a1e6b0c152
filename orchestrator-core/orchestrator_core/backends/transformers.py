"""Hugging Face models as a backend: full precision, 8 or 4 bits, with an optional LoRA adapter.

torch and transformers are imported when the model is loaded, never before.

One answer is produced in the thread that iterates it; answers that run side by side take turns,
one token each. There is no batching here: for many clients use the llama.cpp engine or a server.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    Usage,
)
from orchestrator_core.backends.hardware import (
    Quantization,
    choose_device,
    choose_dtype,
    choose_placement,
    choose_quantization,
)
from orchestrator_core.backends.transformers_source import fetch, look_up
from orchestrator_core.errors import (
    ContextLengthExceeded,
    MissingExtra,
    Overloaded,
    Unsupported,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import Settings
from orchestrator_core.text.answer import AnswerText

if TYPE_CHECKING:
    from orchestrator_core.backends.transformers_model import LoadedModel, Tokens

log = logging.getLogger(__name__)

DEFAULT_CONTEXT_LENGTH = 2048
"""Where neither the model's configuration nor the settings state one."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    tokens: Tokens
    weights: LoadedModel
    context_length: int
    device: str
    reason: str
    dtype: str
    quantization: Quantization | None


class TransformersBackend(ChatBackend):
    """The model at `model.path`: a local folder or a hub id (`builtin`: the seed's Mistral 7B); or an
    adapter's folder, then with the base model that its configuration names.

    Hub ids are looked up in the local cache first; HF_HUB_OFFLINE is respected. Code that a model
    brings along is never run.

    Args:
        names: instead of the model's.

    Raises:
        ModelUnusable, ConfigurationError: an adapter's folder is broken, or a second one is named.
    """

    def __init__(self, settings: Settings, *, names: ModelNames | None = None) -> None:
        self._settings = settings
        self._names = names
        self._named = look_up(settings)
        self._name = self._named.model
        self._loading = threading.Lock()
        self._loaded: _Loaded | None = None
        self._slots = _Slots(settings.engine.max_sequences, settings.engine.max_queue)
        self._live: weakref.WeakSet[TransformersGeneration] = weakref.WeakSet()

    def load(self) -> None:
        self._model()

    def generate(self, prompt: Prompt, config: GenerationConfig, *, continue_from: str = "") -> Generation:
        if config.json_schema is not None or config.grammar is not None:
            raise Unsupported(
                "The transformers backend cannot hold an answer to a grammar or JSON schema.",
                hint="Use a GGUF model, or a server that can (model.url).",
            )
        loaded = self._model()
        asked = loaded.tokens.prompt(prompt.pieces)
        ids = asked + loaded.tokens.continued(continue_from)
        if not ids:
            raise ContextLengthExceeded("The prompt is empty, and this model has no token to begin with.")
        if len(ids) + 1 > loaded.context_length:
            raise ContextLengthExceeded(
                f"The prompt has {len(ids)} tokens; the window of {self._name!r} holds {loaded.context_length}."
            )
        self._slots.reserve()
        generation = TransformersGeneration(
            loaded,
            config,
            ids,
            answered=len(ids) - len(asked),
            continue_from=continue_from,
            slots=self._slots,
            chunk=self._settings.engine.prefill_chunk,
        )
        self._live.add(generation)
        return generation

    def count_tokens(self, text: str) -> int:
        return len(self._model().tokens.continued(text))

    def count_prompt(self, prompt: Prompt) -> int:
        return len(self._model().tokens.prompt(prompt.pieces))

    @property
    def context_length(self) -> int:
        return self._model().context_length

    def describe(self) -> BackendDescription:
        """Before loading: what the settings say."""
        loaded, settings = self._loaded, self._settings
        return BackendDescription(
            backend="transformers",
            model=self._name if self._names is None else self._names.model,
            base=None if self._names is None else self._names.base,
            context_length=loaded.context_length
            if loaded
            else settings.model.context_length or DEFAULT_CONTEXT_LENGTH,
            adapter=self._named.adapter or ("fresh" if settings.lora.enabled else None),
            quantization=str(loaded.quantization) if loaded and loaded.quantization else None,
            device=loaded.device if loaded else settings.model.device,
            device_reason=loaded.reason if loaded else "not loaded yet",
            details={"dtype": loaded.dtype} if loaded else {},
        )

    def suggested_sampling(self) -> dict[str, float]:
        return self._model().weights.advised_sampling()

    def close(self) -> None:
        with self._loading:
            loaded, self._loaded = self._loaded, None
        for generation in list(self._live):
            generation.cancel()
        if loaded is not None:
            del loaded
            from orchestrator_core.backends.transformers_model import free_memory

            free_memory()

    def chat_template(self, *, tools: bool = False) -> str | None:
        return self._model().tokens.template(tools=tools)

    def special_tokens(self) -> SpecialTokens:
        return self._model().tokens.special()

    def stats(self) -> BackendStats:
        return BackendStats(
            running=self._slots.running, waiting=self._slots.waiting, loaded=self._loaded is not None
        )

    def _model(self) -> _Loaded:
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> _Loaded:
        settings = self._settings
        try:
            from orchestrator_core.backends import transformers_load as loading
            from orchestrator_core.backends import transformers_model as working
        except ImportError as error:
            raise MissingExtra(error.name or "transformers", "hf", "The transformers backend") from error
        folders = fetch(settings, self._named)
        hardware = loading.look_at_hardware()
        device = choose_device(settings.model.device, hardware)
        dtype = choose_dtype(device.value, hardware)
        quantization = choose_quantization(settings.quantization, device.value, dtype.value)
        placement = choose_placement(device.value, hardware)
        for choice in (device, dtype, quantization, placement):
            log.info("%s: %s (%s)", self._name, choice.value, choice.reason)
        if device.value == "cpu" and settings.engine.threads is not None:
            loading.use_threads(settings.engine.threads)
        model = loading.load_model(
            folders.model, dtype.value, placement.value, quantization.value, settings.lora, folders.adapter
        )
        tokens = working.tokens_of(folders.model, folders.adapter, model)
        weights = working.LoadedModel(model, tokens)
        return _Loaded(
            tokens=tokens,
            weights=weights,
            context_length=self._window(weights.context_length),
            device=str(weights.device),
            reason=f"{device.reason}; {dtype.value}: {dtype.reason}",
            dtype=dtype.value,
            quantization=quantization.value,
        )

    def _window(self, trained: int | None) -> int:
        wanted = self._settings.model.context_length
        if wanted is not None and trained is not None and wanted > trained:
            log.warning(
                "model.context_length %d is more than the %d the model was made for.", wanted, trained
            )
        known = [length for length in (wanted, trained) if length is not None]
        return min(known, default=DEFAULT_CONTEXT_LENGTH)


class _Slots:
    """At most so many answers compute side by side; a bounded number of others wait their turn."""

    def __init__(self, running: int, waiting: int) -> None:
        self._changed = threading.Condition()
        self._limits = (running, waiting)
        self.running = 0
        self._reserved = 0

    @property
    def waiting(self) -> int:
        return self._reserved

    def reserve(self) -> None:
        """A place for an answer that has not begun.

        Raises:
            Overloaded: as many as may wait do so already.
        """
        with self._changed:
            if self.running + self._reserved >= sum(self._limits):
                raise Overloaded(f"{self.running} answers run and {self._reserved} wait already.")
            self._reserved += 1

    def enter(self, cancelled: threading.Event) -> bool:
        """Waits for a turn; False when the answer was cancelled meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self.running < self._limits[0] or cancelled.is_set())
            self._reserved -= 1
            if cancelled.is_set():
                return False
            self.running += 1
            return True

    def leave(self) -> None:
        with self._changed:
            self.running -= 1
            self._changed.notify_all()

    def abandon(self) -> None:
        """An answer with a place was dropped before it began."""
        with self._changed:
            self._reserved -= 1

    def wake(self) -> None:
        """After a cancel, so that whoever waits notices."""
        with self._changed:
            self._changed.notify_all()


class TransformersGeneration(Generation):
    """One answer, computed in the thread that iterates it."""

    def __init__(
        self,
        loaded: _Loaded,
        config: GenerationConfig,
        ids: list[int],
        *,
        answered: int,
        continue_from: str,
        slots: _Slots,
        chunk: int,
    ) -> None:
        self._loaded = loaded
        self._config = config
        self._ids = ids
        self._answered = answered
        self._chunk = chunk
        self._answer = AnswerText(config.stop, continue_from)
        self._slots = slots
        self._cancelled = threading.Event()
        self._place = weakref.finalize(self, slots.abandon)
        self._tokens: Generator[Token, None, None] | None = None
        self.usage = Usage(len(ids) - answered)

    def __iter__(self) -> Iterator[Token]:
        if self._tokens is None:
            self._tokens = self._produce()
        return self._tokens

    def cancel(self) -> None:
        self._cancelled.set()
        self._slots.wake()

    def _produce(self) -> Generator[Token, None, None]:
        self._place.detach()
        if not self._slots.enter(self._cancelled):
            self.finish_reason = FinishReason.CANCELLED
            return
        try:
            self.finish_reason = yield from self._compute()
        finally:
            self._slots.leave()
        token = self._answer.flush(cut_off=self.finish_reason is not FinishReason.STOP)
        if token is not None:
            yield token

    def _compute(self) -> Generator[Token, None, FinishReason]:
        from orchestrator_core.backends.transformers_model import TokenText, TorchSampler

        weights, ids = self._loaded.weights, self._ids
        cache, cached = weights.begin(ids)
        self.usage = Usage(self.usage.prompt_tokens, 0, min(cached, self.usage.prompt_tokens))
        limit = self._config.limit(self._loaded.context_length - len(ids))
        sampler = TorchSampler(self._config, weights.device)
        text = TokenText(self._loaded.tokens, ids)
        begin = len(ids) - self._answered
        done, made, ended = cached, 0, FinishReason.LENGTH
        while True:
            # 1. Compute what the cache lacks, in chunks, so that others get a turn and a cancel is noticed.
            while done < len(ids) and not self._cancelled.is_set():
                logits = weights.forward(ids[done : done + self._chunk], cache)
                done = min(len(ids), done + self._chunk)
            if self._cancelled.is_set():
                ended = FinishReason.CANCELLED
                break
            # 2. Choose the next token.
            token = sampler.choose(logits, ids[begin:])
            if token in weights.end_ids:
                ended = FinishReason.STOP
                break
            ids.append(token)
            made += 1
            self.usage = Usage(self.usage.prompt_tokens, made, self.usage.cached_tokens)
            # 3. Show what is complete.
            shown = self._answer.feed(text.push(token))
            if shown is not None:
                yield shown
            if self._answer.stopped:
                ended = FinishReason.STOP
                break
            if made >= limit:
                break
        weights.keep(ids[:done], cache)
        rest = self._answer.feed(text.flush(cut_off=ended is not FinishReason.STOP), 0)
        if rest is not None:
            yield rest
        return ended
