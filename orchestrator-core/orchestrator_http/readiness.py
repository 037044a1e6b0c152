"""Loading the model beside the server: the API is up at once, answers when it can.

States: loading -> ready, or loading -> failed. A failed load is tried again when somebody
asks for an answer and `RETRY_AFTER_S` have passed, so that a model put in its place later
is found without a restart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from orchestrator_core.backend import ChatBackend
from orchestrator_core.errors import (
    ApplicationError,
    BackendLoading,
    ModelUnusable,
    OrchestratorError,
    ServerStopping,
    fields_of,
    from_body,
)

State = Literal["loading", "ready", "failed"]

RETRY_AFTER_S = 10.0
"""Seconds between attempts to load a model that failed."""

WAIT_S = 30.0
"""How long a request waits for a model that is being loaded."""

_log = logging.getLogger(__name__)


class ModelLoader:
    """Loads the backend's model in a thread of its own. Safe from any thread."""

    def __init__(self, backend: ChatBackend, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._clock = clock
        self._changed = threading.Condition()
        self._state: State = "loading"
        self._running = False
        self._stopping = False
        self._failed_at = 0.0
        self._error: OrchestratorError | None = None

    @property
    def state(self) -> State:
        return self._state

    @property
    def error(self) -> OrchestratorError | None:
        """Why the last attempt failed; None unless the state is `failed`."""
        return self._error

    def start(self) -> None:
        """Begin to load; nothing happens while it is loading or loaded."""
        with self._changed:
            if self._running or self._state == "ready":
                return
            self._running = True
            self._state = "loading"
            self._error = None
        threading.Thread(target=self._load, name="model-loader", daemon=True).start()

    def ensure(self, timeout: float = WAIT_S) -> None:
        """Wait until the model is loaded, at most `timeout` seconds.

        Raises:
            BackendLoading: it is not loaded yet; it goes on loading.
            ServerStopping: `stop_waiting` was called meanwhile.
            OrchestratorError: why it cannot be loaded.
        """
        if self._state == "ready":
            return
        if self._state == "failed" and self._clock() - self._failed_at >= RETRY_AFTER_S:
            self.start()
        with self._changed:
            self._changed.wait_for(lambda: self._state != "loading" or self._stopping, timeout)
        if self._state == "loading" and self._stopping:
            raise ServerStopping("The server is being stopped.", hint="Try again in about 10 seconds.")
        self.check()

    def stop_waiting(self) -> None:
        """For a server that stops: nobody waits for a model that is being loaded any more."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def check(self) -> None:
        """As `ensure`, without waiting or trying again."""
        if self._state == "loading":
            raise BackendLoading("The model is still being loaded.", hint="Try again in a few seconds.")
        if self._error is not None:
            raise _for_askers(self._error)

    def _load(self) -> None:
        error: OrchestratorError | None = None
        try:
            self._backend.load()
        except OrchestratorError as problem:
            error = problem
            _log.error("The model cannot be loaded: %s %s", problem.message, problem.hint or "")
        except Exception:
            _log.exception("Loading the model failed unexpectedly")
            error = ModelUnusable(
                "Loading the model failed unexpectedly.", hint="orchestrator.log holds the details."
            )
        with self._changed:
            self._error = error
            self._failed_at = self._clock()
            self._running = False
            self._state = "failed" if error else "ready"
            self._changed.notify_all()


def _for_askers(error: OrchestratorError) -> ApplicationError:
    """A fresh one each time: a shared exception would collect tracebacks. Whoever asks for an answer did
    nothing wrong: a wrong setting is no 400 or 500 to them."""
    return from_body({**fields_of(error), "status": 503 if error.status <= 500 else error.status})
