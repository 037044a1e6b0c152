"""What happens to every request before and after its route: checks, errors, headers, a log line.

The order of the checks: Host and Origin (a browser's preflight for an allowed page goes no further), then who asks and what he may
(`callers`), then whether the server is being stopped (new work is refused; looking, and
stopping a run, is not). Security headers are on every answer, also on refusals.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable

from flask import Flask, Response, g, request

from orchestrator_http.access import callers, cors, signed_answers
from orchestrator_http.access.keys import KeyGuard
from orchestrator_http.access.origins import HostGuard
from orchestrator_http.api import JSON, current_operation
from orchestrator_http.completions.watching import ClientGone, stopping
from orchestrator_http.error_formats import error_format
from orchestrator_http.problems import Problem, problem_from, unexpected
from orchestrator_http.services import Services

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer that does not set its own: an API answer is never a page."""

CLIENT_GONE = 499
"""nginx's status for a client that left; only logs and metrics ever see it."""

_log = logging.getLogger("orchestrator.http")


def guard(app: Flask, services: Services, keys: KeyGuard, hosts: HostGuard) -> None:
    """Attach the checks, the error handler and the log to the app."""

    def before() -> Response | None:
        g.started = time.monotonic()
        g.request_id = secrets.token_hex(6)
        g.foreign_origin = hosts.check(request.headers.get("Host"), request.headers.get("Origin"))
        if g.foreign_origin is not None and cors.is_preflight(request.method, request.headers.get):
            return Response(status=204, headers=cors.preflight_headers(request.headers.get))
        operation = current_operation()
        unguarded = request.endpoint is None or (operation is not None and operation.open)
        g.caller = None
        if callers.claims_signature() or not unguarded:
            g.caller = callers.identify(services, keys, operation)
        if unguarded:
            return None
        callers.refuse_beyond(g.caller, operation)
        if services.stopping.is_set() and request.method in ("POST", "PUT", "PATCH"):
            raise stopping()
        return None

    app.before_request(before)
    app.after_request(_finish(services))
    app.after_request(lambda response: signed_answers.sign(services, response))
    app.register_error_handler(Exception, error_response)


def error_response(error: Exception) -> Response:
    """Any exception as an answer; the body's shape depends on the path."""
    if isinstance(error, ClientGone):
        return Response(status=CLIENT_GONE)
    problem = problem_from(error)
    if problem is None:
        _log.error("Request %s failed", g.get("request_id"), exc_info=error)
        problem = unexpected(g.get("request_id", "?"))
    return problem_response(problem)


def problem_response(problem: Problem) -> Response:
    body = error_format(request.path).body(problem)
    response = Response(json.dumps(body), status=problem.status, content_type=JSON)
    response.headers.extend(dict(problem.headers))
    return response


def _finish(services: Services) -> Callable[[Response], Response]:
    def after(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        response.vary.add("Origin")
        if g.get("foreign_origin") is not None:
            response.headers.update(cors.answer_headers(g.foreign_origin))
        response.headers["X-Request-Id"] = g.request_id
        response.call_on_close(_logged(services, response.status_code))
        return response

    return after


def _logged(services: Services, status: int) -> Callable[[], None]:
    """Writes the line when the answer has been sent to its end, or its client has left."""
    method, path = request.method, ascii(request.path[:200])[1:-1]
    route = request.url_rule.rule if request.url_rule is not None else "unmatched"
    request_id, started, address = g.request_id, g.started, request.remote_addr
    operation = current_operation()
    level = logging.DEBUG if operation is not None and operation.quiet else logging.INFO

    def write() -> None:
        spent_ms = (time.monotonic() - started) * 1000
        services.metrics.requests.labels(_method(method), route, status).inc()
        _log.log(level, "%s %s %d %.0f ms %s %s", method, path, status, spent_ms, address, request_id)

    return write


def _method(method: str) -> str:
    """Methods are free text to a client; a label must not be."""
    known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    return method if method in known else "other"
