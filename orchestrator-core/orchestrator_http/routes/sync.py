"""`/sync`: one step of an exchange between replicas, and notices that there is something to fetch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from flask import Response, g, request
from orchestrator_core.settings import ServerSettings
from shared_context.exchange.exchange import answer
from shared_context.exchange.wire import DeviceRecord

from orchestrator_http import sse
from orchestrator_http.access.keys import Caller
from orchestrator_http.api import EVENTS, Api
from orchestrator_http.completions.watching import PING_S, TICK_S, ClientGone, disconnect_check, stopping
from orchestrator_http.problems import Problem
from orchestrator_http.schemas.sync import ChangeNotice, SyncAnswer, SyncRequest
from orchestrator_http.services import Services, services

MAX_BODY_BYTES = 8 * 1024 * 1024
"""A page is half a megabyte by default, but an update of the documents comes in one piece."""

api = Api("sync", answered_by="here", for_desktop="source")


@api.route(
    "POST",
    "/sync",
    summary="One step of an exchange between replicas",
    errors=(507,),
    max_body_bytes=MAX_BODY_BYTES,
)
def exchange(body: SyncRequest) -> SyncAnswer:
    """Says what the server has and gives a page of what the caller lacks; takes a page of what the
    server lacks. Sending a request again changes nothing. docs/sync.md tells the whole exchange."""
    caller: Caller = g.caller
    if "admin" not in caller.scopes and caller.kind == "device":
        body = _without_devices(body)
    return answer(services().replica, body)


def _without_devices(body: SyncRequest) -> SyncRequest:
    """A phone brings what was said and written. Who belongs to the household is not for it to say."""
    spans = [
        span.model_copy(
            update={"records": [record for record in span.records if not isinstance(record, DeviceRecord)]}
        )
        for span in body.spans
    ]
    return body.model_copy(update={"spans": spans})


@api.route(
    "GET",
    "/sync/events",
    summary="Be told when the memory changes",
    errors=(429, 503),
    media=(EVENTS,),
)
def events() -> Response:
    """The present state at once, and each new one as soon as there is one."""
    here = services()
    places = here.places
    here.listeners.take()
    try:
        places.take()
    except BaseException:
        here.listeners.give_back()
        raise

    def leave() -> None:
        places.give_back()
        here.listeners.give_back()

    frames = _notices(here, disconnect_check(request.environ))
    return sse.stream(frames, on_close=leave, on_problem=_error_frame, request_id=g.request_id)


def largest_body(server: ServerSettings) -> int:
    """What a listener in front of the app has to let through (bytes)."""
    return max(server.max_body_bytes, MAX_BODY_BYTES)


def _notices(here: Services, gone: Callable[[], bool]) -> Iterator[bytes]:
    """
    Raises:
        ClientGone, ServerStopping.
    """
    seen, last, spoke = -1, "", time.monotonic()
    while True:
        count = here.changes.count
        if count > seen:
            state = here.replica.state().digest
            if state != last:
                last, spoke = state, time.monotonic()
                yield sse.frame(ChangeNotice(replica=here.replica.replica_id, state=state).model_dump())
            seen = count
        here.changes.wait(seen, TICK_S)
        if gone():
            raise ClientGone
        if here.closing.is_set():
            raise stopping()
        if time.monotonic() - spoke >= PING_S:
            spoke = time.monotonic()
            yield sse.PING


def _error_frame(problem: Problem) -> Iterator[bytes]:
    yield sse.frame(problem.body(), event="error")
