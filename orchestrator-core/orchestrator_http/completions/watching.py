"""One request looking at one run: until its end, or until nobody looks any more.

Runs live on their own. Leaving one, because the client is gone or the server stops, only
ends the looking; routes whose client expects it to end the run as well cancel it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator_core.errors import ApplicationError, ServerStopping, from_body
from orchestrator_core.metrics import Metrics

from orchestrator_http.services import Services

if TYPE_CHECKING:
    from orchestrator_core.runs.run import Run
    from orchestrator_core.runs.spec import RunEvent

TICK_S = 1.0
"""How soon a lost client or a stopping server is noticed while no token comes."""

PING_S = 15.0
"""Silence after which a comment is sent, so that proxies keep the stream open."""


class ClientGone(Exception):
    """The client closed its connection; there is nobody to answer."""


class RunWatcher:
    """
    Args:
        gone: says whether the client has disconnected.
        metrics: told of tokens and usage; None for everyone but the request that began the run,
            or an answer watched by three devices would count three times.
        started: `time.monotonic()` of the request.
    """

    def __init__(
        self,
        services: Services,
        gone: Callable[[], bool],
        *,
        metrics: Metrics | None = None,
        started: float | None = None,
    ) -> None:
        self._closing = services.closing
        self._gone = gone
        self._timing = None if metrics is None else _Timing(metrics, started or time.monotonic())

    def events(self, run: Run, after: int = 0) -> Iterator[RunEvent | None]:
        """The run's events behind offset `after`; None whenever a ping is due.

        Raises:
            ClientGone, ServerStopping.
        """
        silent_since = time.monotonic()
        for event in run.events(after=after, timeout=TICK_S):
            if event is None:
                if self._gone():
                    raise ClientGone
                if self._closing.is_set():
                    raise stopping(run.run_id)
                if time.monotonic() - silent_since >= PING_S:
                    silent_since = time.monotonic()
                    yield None
                continue
            silent_since = time.monotonic()
            if self._timing is not None:
                self._timing.see(event)
            if event.final:
                if self._gone():
                    raise ClientGone
                run.log.mark_end_seen()
            yield event

    def answer(self, run: Run) -> dict[str, Any]:
        """Wait for the end of the run: the data of its `done` event.

        Raises:
            ApplicationError: the run failed, with this.
            ClientGone, ServerStopping.
        """
        for event in self.events(run):
            if event is None:
                continue
            if event.kind == "done":
                return dict(event.data)
            if event.kind == "error":
                raise failure(run, event)
        raise stopping(run.run_id)


def failure(run: Run, event: RunEvent) -> ApplicationError:
    """What a run's `error` event stands for. The run's own error says more than the event: when
    to come back, for example."""
    with contextlib.suppress(TimeoutError):
        error = run.wait(timeout=TICK_S).error
        if error is not None:
            return error
    return from_body(event.data)


def stopping(run_id: str | None = None) -> ServerStopping:
    where = f"The answer goes on after the restart: GET /runs/{run_id}." if run_id else None
    return ServerStopping("The server is being stopped.", hint=where or "Try again in about 10 seconds.")


def disconnect_check(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """The server's own check for a lost client (waitress has one), else one that never says so."""
    check = environ.get("waitress.client_disconnected")
    return check if callable(check) else lambda: False


class _Timing:
    """Feeds the histograms with the events of one run, as the client sees them."""

    def __init__(self, metrics: Metrics, started: float) -> None:
        self._metrics = metrics
        self._last = started
        self._first = True

    def see(self, event: RunEvent) -> None:
        now = time.monotonic()
        match event.kind:
            case "token" | "thinking":
                histogram = self._metrics.first_token if self._first else self._metrics.token
                histogram.observe(now - self._last)
                self._first, self._last = False, now
            case "done":
                self._done(event.data)
            case "error":
                self._metrics.finished_runs.labels("failed").inc()

    def _done(self, data: Mapping[str, Any]) -> None:
        usage: Mapping[str, int] = data.get("usage") or {}
        self._metrics.prompt_tokens.inc(usage.get("prompt_tokens", 0))
        self._metrics.cached_tokens.inc(usage.get("cached_tokens", 0))
        self._metrics.completion_tokens.inc(usage.get("completion_tokens", 0))
        cancelled = data.get("finish_reason") == "cancelled"
        self._metrics.finished_runs.labels("cancelled" if cancelled else "done").inc()
