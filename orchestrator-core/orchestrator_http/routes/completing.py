"""Seeing a `Completion` through for a request: added up, or streamed.

The one who asked is the only one who will ever read it, so its run ends when they leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from flask import Response, g

from orchestrator_http import sse
from orchestrator_http.completion import Completion
from orchestrator_http.deltas import Collected, Delta, collect
from orchestrator_http.openai_stream import problem_frame
from orchestrator_http.routes.asking import raise_early_failure, watcher
from orchestrator_http.services import services

if TYPE_CHECKING:
    from orchestrator_core.runs.run import Run
    from orchestrator_core.runs.spec import RunEvent

Watch = Callable[["Run"], "Iterator[RunEvent | None]"]


def collected_completion(make: Callable[[Watch], Completion]) -> tuple[Run, Collected]:
    """
    Args:
        make: the completion, given how to watch its runs; nothing is started yet.

    Raises:
        ProblemError, OrchestratorError, ClientGone.
    """
    here = services()
    with here.places.hold():
        here.model.ensure()
        completion = make(watcher(here, measured=True).events)
        run = completion.begin()
        try:
            return run, collect(completion.deltas())
        except BaseException:
            completion.cancel()
            raise


def streamed_completion(
    make: Callable[[Watch], Completion], frames: Callable[[Run, Iterator[Delta]], Iterator[bytes]]
) -> Response:
    """What fails at once has a status of its own; later, the stream ends with the error."""
    here = services()
    places = here.places
    places.take()
    try:
        here.model.ensure()
        completion = make(watcher(here, measured=True).events)
        run = completion.begin()
        raise_early_failure(run)
    except BaseException:
        places.give_back()
        raise

    def close() -> None:
        places.give_back()
        completion.cancel()

    return sse.stream(
        frames(run, completion.deltas()),
        on_close=close,
        on_problem=problem_frame,
        request_id=g.request_id,
        headers={"X-Run-Id": run.run_id},
    )
