"""Starting a run for a request and seeing it through: waiting for its end, or streaming it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Response, g, request

from orchestrator_http import sse
from orchestrator_http.completions.watching import ClientGone, RunWatcher, disconnect_check, failure
from orchestrator_http.error_formats import error_format
from orchestrator_http.problems import Problem
from orchestrator_http.services import Services, services

if TYPE_CHECKING:
    from orchestrator_core.runs.run import Run

PEEK_S = 0.2
"""How long a stream waits for a run that fails at once, so that its client gets a status
instead of a stream with nothing but an error in it."""

STREAM_ERRORS = (404, 413, 429, 502, 503, 504, 507)
"""What a request for an answer can end with, besides what every route can."""


def full_answer(
    start: Callable[[], Run], *, cancel_when_gone: bool = False, load: bool = True
) -> dict[str, Any]:
    """Start a run and wait for it: the data of its `done` event.

    Args:
        start: starts the run.
        load: wait before it until the model is loaded; else `start` does where it has to.
        cancel_when_gone: end the run when the client leaves.

    Raises:
        ProblemError, OrchestratorError, ClientGone.
    """
    here = services()
    with here.places.hold():
        if load:
            here.model.ensure()
        run = start()
        try:
            return watcher(here, measured=True).answer(run)
        except ClientGone:
            if cancel_when_gone:
                run.cancel()
            raise


def streamed_answer(start: Callable[[], Run], *, load: bool = True) -> Response:
    """Start a run and stream its events. What fails at once has a status of its own; later,
    the stream ends with an `error` event. A client that leaves does not end the run."""
    here = services()
    here.places.take()
    try:
        if load:
            here.model.ensure()
        run = start()
        raise_early_failure(run)
    except BaseException:
        here.places.give_back()
        raise
    return _stream(here, run, 0, measured=True)


def watched_run(run: Run, after: int) -> Response:
    """Stream a run that exists, from what follows offset `after`."""
    here = services()
    here.places.take()
    return _stream(here, run, after, measured=False)


def _stream(here: Services, run: Run, after: int, *, measured: bool) -> Response:
    """Takes over the place that the caller has taken."""
    return sse.stream(
        sse.run_frames(run.run_id, watcher(here, measured=measured).events(run, after)),
        on_close=here.places.give_back,
        on_problem=error_frames(),
        request_id=g.request_id,
        headers=_names(run),
    )


def _names(run: Run) -> dict[str, str]:
    model = run.spec.model
    return {"X-Run-Id": run.run_id, **({"X-Model": model} if _fits_header(model) else {})}


def _fits_header(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()


def error_frames() -> Callable[[Problem], list[bytes]]:
    """What ends a stream of this request that fails half-way, as its family of clients wants it."""
    written = error_format(request.path)
    return lambda problem: [sse.frame(written.body(problem), event=written.event)]


def raise_early_failure(run: Run) -> None:
    """
    Raises:
        ProblemError: the run fails within `PEEK_S`, before any text.
    """
    deadline = time.monotonic() + PEEK_S
    for event in run.events(after=0, timeout=PEEK_S):
        if event is not None and event.kind == "error":
            raise failure(run, event)
        if event is None or event.kind in ("token", "thinking", "done") or time.monotonic() >= deadline:
            return


def watcher(here: Services, *, measured: bool) -> RunWatcher:
    """A watcher for this request; `measured` by the request that began the run."""
    return RunWatcher(
        here,
        disconnect_check(request.environ),
        metrics=here.metrics if measured else None,
        started=g.started,
    )
