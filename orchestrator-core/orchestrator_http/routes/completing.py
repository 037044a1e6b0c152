"""Seeing completions through for a request: added up, or streamed.

The one who asked is the only one who will ever read them, so their runs end when they leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from flask import Response, g

from orchestrator_http import sse
from orchestrator_http.completions.chat_answers import Make
from orchestrator_http.completions.completion import Completion
from orchestrator_http.completions.deltas import Collected, Delta, collect
from orchestrator_http.problems import Problem
from orchestrator_http.routes.asking import error_frames, raise_early_failure, watcher
from orchestrator_http.services import Services, services

if TYPE_CHECKING:
    from orchestrator_core.runs.run import Run


def collected_completions(makes: Sequence[Make]) -> list[tuple[Run, Collected]]:
    """The answers, in order; they are produced side by side.

    Raises:
        ProblemError, OrchestratorError, ClientGone.
    """
    here = services()
    with here.places.hold(), ExitStack() as failed:
        begun = _begun(here, makes, failed)
        answers = [(run, collect(completion.deltas())) for completion, run in begun]
        failed.pop_all()
        return answers


def streamed_completions(
    makes: Sequence[Make],
    frames: Callable[[Sequence[Run], Sequence[Iterator[Delta]]], Iterator[bytes]],
    *,
    on_problem: Callable[[Problem], Iterable[bytes]] | None = None,
    content_type: str | None = None,
) -> Response:
    """What fails at once has a status of its own; later, the stream ends with the error.

    Args:
        frames: the stream, from the runs and the deltas of each answer.
        on_problem: tells of a failure half-way; default: as the route's family of clients wants it.
        content_type: default: that of server-sent events.
    """
    here = services()
    with ExitStack() as failed:
        here.places.take()
        failed.callback(here.places.give_back)
        begun = _begun(here, makes, failed)
        runs = [run for _, run in begun]
        raise_early_failure(runs[0])
        close = failed.pop_all().close
    response = sse.stream(
        frames(runs, [completion.deltas() for completion, _ in begun]),
        on_close=close,
        on_problem=on_problem or error_frames(),
        request_id=g.request_id,
        headers={"X-Run-Id": runs[0].run_id},
    )
    if content_type is not None:
        response.content_type = content_type
    return response


def _begun(here: Services, makes: Sequence[Make], failed: ExitStack) -> list[tuple[Completion, Run]]:
    """All completions with their first runs; `failed` cancels them."""
    completions = [make(watcher(here, measured=True).events) for make in makes]
    begun = []
    for completion in completions:
        failed.callback(completion.cancel)
        begun.append((completion, completion.begin()))
    return begun
