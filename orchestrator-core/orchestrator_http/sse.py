"""Server-sent events: the wire format, and a response that streams them.

A stream has `id:` lines with the run's offsets, so that a client that lost its connection
asks for what follows (`?from=N` or `Last-Event-ID`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flask import Response
from orchestrator_core.errors import ServerStopping

from orchestrator_http.api import EVENTS
from orchestrator_http.completions.watching import ClientGone
from orchestrator_http.problems import Problem, problem_from, unexpected

if TYPE_CHECKING:
    from orchestrator_core.runs.spec import RunEvent

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""No cache may hold a stream back; nginx is told not to buffer it."""

_log = logging.getLogger(__name__)


def frame(data: Mapping[str, Any] | str, *, event_id: int | None = None, event: str | None = None) -> bytes:
    """One event. `data` is written as one line: JSON escapes line breaks."""
    lines = []
    if event_id is not None:
        lines.append(f"id: {event_id}")
    if event is not None:
        lines.append(f"event: {event}")
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    lines.append(f"data: {text}")
    return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")


def comment(text: str) -> bytes:
    """What every reader passes over."""
    return f": {text}\n\n".encode("utf-8", "replace")


PING = comment("ping")


def run_frames(run_id: str, events: Iterable[RunEvent | None]) -> Iterator[bytes]:
    """A run's events as DESIGN §6 wants them: tokens and the end without a name, all else
    with one. A comment comes first: servers send no headers before the first byte of the
    body, and a client wants to know its run while the model still reads the prompt."""
    yield comment(f"run {run_id}")
    for event in events:
        if event is None:
            yield PING
            continue
        name = None if event.kind in ("token", "done") else event.kind
        yield frame(event.data, event_id=event.offset, event=name)


def stream(
    frames: Iterator[bytes],
    *,
    on_close: Callable[[], None],
    on_problem: Callable[[Problem], Iterable[bytes]],
    request_id: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A response that sends each frame at once.

    Args:
        on_close: called exactly once, also when the client is gone before the first frame.
        on_problem: the frames that tell the client of a failure half-way.
    """
    response = Response(_guarded(frames, on_problem, request_id), content_type=f"{EVENTS}; charset=utf-8")
    response.headers.extend({**HEADERS, **(headers or {})})
    response.call_on_close(on_close)
    return response


def _guarded(
    frames: Iterator[bytes], on_problem: Callable[[Problem], Iterable[bytes]], request_id: str
) -> Iterator[bytes]:
    try:
        yield from frames
    except ClientGone:
        return
    except ServerStopping as notice:
        yield comment(f"{notice.message} {notice.hint}")
    except Exception as error:
        problem = problem_from(error)
        if problem is None:
            _log.exception("Request %s failed while streaming", request_id)
            problem = unexpected(request_id)
        yield from on_problem(problem)
