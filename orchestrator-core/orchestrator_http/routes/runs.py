"""`/runs/<id>`: look at a run, follow it from any offset, stop it; from any device."""

from __future__ import annotations

import contextlib

from flask import Response

from orchestrator_http.api import EVENTS, Api
from orchestrator_http.routes.asking import watched_run
from orchestrator_http.schemas.chat import FromOffset, LastEventId, RunAnswer, RunPath
from orchestrator_http.services import services

STOP_WAIT_S = 5.0
"""How long DELETE waits for the run to end, so that its answer says `cancelled`."""

api = Api("runs", scope="ask", answered_by="run_tier", for_desktop="source")


@api.route("GET", "/runs/<run_id>", summary="A run and its text so far", errors=(404,))
def show(path: RunPath) -> RunAnswer:
    run = services().assistant.runs.get(path.run_id)
    run.log.mark_end_seen()
    return RunAnswer.of(run)


@api.route(
    "GET",
    "/runs/<run_id>/stream",
    summary="Follow a run",
    errors=(404,),
    media=(EVENTS,),
)
def stream(path: RunPath, query: FromOffset, headers: LastEventId) -> Response:
    """Events behind the given offset, then new ones until the run ends."""
    after = headers.value if headers.value is not None else query.start
    return watched_run(services().assistant.runs.get(path.run_id), after or 0)


@api.route("DELETE", "/runs/<run_id>", summary="Stop a run", errors=(404,))
def stop(path: RunPath) -> RunAnswer:
    """The text produced so far is kept. Stopping a run that is over changes nothing."""
    run = services().assistant.runs.get(path.run_id)
    run.cancel()
    with contextlib.suppress(TimeoutError):
        run.wait(timeout=STOP_WAIT_S)
    return RunAnswer.of(run)
