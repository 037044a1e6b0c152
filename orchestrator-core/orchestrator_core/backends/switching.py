"""The backend of a server, in which one model can follow another while it runs."""

from __future__ import annotations

import logging
import threading
import weakref
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
from orchestrator_core.errors import Conflict, ModelNotFound, ModelUnusable
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import Settings

KEPT_S = 3.0
"""A replaced backend stays at least so long: prompts that were made for it may be on their way."""

LOOK_S = 0.5
MAX_RETIRING = 2
"""Replaced backends that still answer. Each holds a model in memory."""

ROOM_WAIT_S = 30.0
"""How long a further switch waits for their answers to end."""

_log = logging.getLogger(__name__)


def backend_for_server(settings: Settings) -> SwitchingBackend:
    """The backend the settings name. A model that is missing or unknown must not keep the memory from being
    read: the server starts, and says why it cannot answer.

    Raises:
        ConfigurationError: no model could mend it.
    """
    backend = SwitchingBackend(lambda: create_backend(settings))
    try:
        backend.current()
    except (ModelNotFound, ModelUnusable) as error:
        _log.warning("%s %s", error.message, error.hint or "")
    return backend


class SwitchingBackend(ChatBackend):
    """Hands all on to the backend that answers now.

    That is made when it is first used, and again after a failure: a model file that was missing at the
    start may be there by then. `switch` puts another one in its place; answers that run end on the one
    they began on.

    Args:
        make: creates the first backend; what it raises, every call raises.
    """

    def __init__(self, make: Callable[[], ChatBackend]) -> None:
        self._make = make
        self._changed = threading.Condition()
        self._inner: ChatBackend | None = None
        self._closed = threading.Event()
        self._retiring: list[ChatBackend] = []
        self._running: weakref.WeakKeyDictionary[Generation, ChatBackend] = weakref.WeakKeyDictionary()
        self._listeners: list[Callable[[], object]] = []

    def current(self) -> ChatBackend:
        with self._changed:
            if self._inner is None:
                self._inner = self._make()
            return self._inner

    def on_switch(self, listener: Callable[[], object]) -> None:
        """Call this after each switch."""
        self._listeners.append(listener)

    def wait_for_room(self) -> None:
        """
        Raises:
            Conflict: models that were replaced still answer, after `ROOM_WAIT_S`.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._retiring) < MAX_RETIRING, ROOM_WAIT_S):
                raise Conflict(
                    "Models that were replaced still finish their answers.", hint="Try again in a minute."
                )

    def switch(self, following: ChatBackend) -> None:
        """Answer with this backend from now on; it is loaded already. The former one is closed when its
        answers have ended.

        Raises:
            Conflict: this server is being stopped.
        """
        with self._changed:
            if self._closed.is_set():
                raise Conflict("The server is being stopped.")
            former, self._inner = self._inner, following
            following.edition = (0 if former is None else former.edition) + 1
            if former is not None:
                self._retiring.append(former)
        if former is not None:
            threading.Thread(
                target=self._retire, args=(former,), name="model-retirement", daemon=True
            ).start()
        for listener in self._listeners:
            listener()

    def load(self) -> None:
        self.current().load()

    def generate(self, prompt: Prompt, config: GenerationConfig, *, continue_from: str = "") -> Generation:
        backend = self._for(prompt)
        generation = backend.generate(prompt, config, continue_from=continue_from)
        with self._changed:
            self._running[generation] = backend
        return generation

    def count_tokens(self, text: str) -> int:
        return self.current().count_tokens(text)

    def count_prompt(self, prompt: Prompt) -> int:
        return self._for(prompt).count_prompt(prompt)

    @property
    def context_length(self) -> int:
        return self.current().context_length

    def describe(self) -> BackendDescription:
        return self.current().describe()

    def close(self) -> None:
        self._closed.set()
        with self._changed:
            open_backends = [*self._retiring, *([] if self._inner is None else [self._inner])]
        for backend in open_backends:
            backend.close()

    @property
    def edition(self) -> int:  # type: ignore[override]
        return self.current().edition

    def chat_template(self, *, tools: bool = False) -> str | None:
        return self.current().chat_template(tools=tools)

    def special_tokens(self) -> SpecialTokens:
        return self.current().special_tokens()

    def suggested_sampling(self) -> dict[str, float]:
        return self.current().suggested_sampling()

    def text_of(self, tokens: Sequence[int]) -> str:
        return self.current().text_of(tokens)

    @property
    def gives_logprobs(self) -> bool:
        return self.current().gives_logprobs

    def holds_to(self, schema: Mapping[str, Any]) -> bool:
        return self.current().holds_to(schema)

    def prewarm(self, prompt: Prompt) -> None:
        self._for(prompt).prewarm(prompt)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return self.current().embed(texts)

    def stats(self) -> BackendStats:
        return BackendStats(loaded=False) if self._inner is None else self._inner.stats()

    def _for(self, prompt: Prompt) -> ChatBackend:
        """The backend in whose template the prompt is, while it is there."""
        current = self.current()
        if prompt.edition in (None, current.edition):
            return current
        return next((former for former in self._retiring if former.edition == prompt.edition), current)

    def _answers(self, backend: ChatBackend) -> bool:
        with self._changed:
            return any(each is backend for each in self._running.values())

    def _retire(self, former: ChatBackend) -> None:
        self._closed.wait(KEPT_S)
        while self._answers(former) and not self._closed.wait(LOOK_S):
            pass
        try:
            former.close()
        except Exception:
            _log.exception("A replaced model could not be closed")
        with self._changed:
            self._retiring.remove(former)
            self._changed.notify_all()
