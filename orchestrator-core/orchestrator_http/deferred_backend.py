"""Stands in for a backend that could not be chosen yet, so that the server can start without it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator_core.backend import (
    BackendDescription,
    BackendStats,
    ChatBackend,
    Generation,
    Prompt,
    SpecialTokens,
)
from orchestrator_core.backends.factory import create_backend
from orchestrator_core.errors import ModelNotFound, ModelUnusable
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import Settings

_log = logging.getLogger(__name__)


def backend_for_server(settings: Settings) -> ChatBackend:
    """The backend the settings name. A model that is missing or unknown must not keep the memory from being
    read: the server starts, and says why it cannot answer.

    Raises:
        ConfigurationError: no model could mend it.
    """
    try:
        return create_backend(settings)
    except (ModelNotFound, ModelUnusable) as error:
        _log.warning("%s %s", error.message, error.hint or "")
        return DeferredBackend(lambda: create_backend(settings))


class DeferredBackend(ChatBackend):
    """Makes the real backend when it is first loaded, and again after a failure: a model file
    that was missing at the start may be there by then.

    Args:
        make: creates the backend; what it raises, `load` raises.
    """

    def __init__(self, make: Callable[[], ChatBackend]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._inner: ChatBackend | None = None

    def load(self) -> None:
        self._real().load()

    def generate(self, prompt: Prompt, config: GenerationConfig, *, continue_from: str = "") -> Generation:
        return self._real().generate(prompt, config, continue_from=continue_from)

    def count_tokens(self, text: str) -> int:
        return self._real().count_tokens(text)

    def count_prompt(self, prompt: Prompt) -> int:
        return self._real().count_prompt(prompt)

    @property
    def context_length(self) -> int:
        return self._real().context_length

    def describe(self) -> BackendDescription:
        return self._real().describe()

    def close(self) -> None:
        with self._lock:
            if self._inner is not None:
                self._inner.close()

    def chat_template(self, *, tools: bool = False) -> str | None:
        return self._real().chat_template(tools=tools)

    def special_tokens(self) -> SpecialTokens:
        return self._real().special_tokens()

    def suggested_sampling(self) -> dict[str, float]:
        return self._real().suggested_sampling()

    def text_of(self, tokens: Sequence[int]) -> str:
        return self._real().text_of(tokens)

    def holds_to(self, schema: Mapping[str, Any]) -> bool:
        return self._real().holds_to(schema)

    def prewarm(self, prompt: Prompt) -> None:
        self._real().prewarm(prompt)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return self._real().embed(texts)

    def stats(self) -> BackendStats:
        return BackendStats(loaded=False) if self._inner is None else self._inner.stats()

    def _real(self) -> ChatBackend:
        with self._lock:
            if self._inner is None:
                self._inner = self._make()
            return self._inner
