"""Passing requests on to the desktop, and answering them here when it is away.

Asked before every route, behind the checks of the edge. What the desktop refuses stays refused: only a
desktop that cannot be reached, or that is lost, is replaced by this tier's own routes.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import get_args

from flask import Flask, Response, g, request
from orchestrator_core.assistant.asking import NO_ROOM
from orchestrator_core.errors import InvalidRequest, NotFound, TierLost, TierUnreachable, from_body
from orchestrator_core.tiers.router import RequestedTier, RouteReason
from orchestrator_http import sse
from orchestrator_http.access import callers
from orchestrator_http.api import EVENTS, Operation, current_operation
from orchestrator_http.bodies import whole_body
from orchestrator_http.completions.chat_answers import is_for_assistant
from orchestrator_http.completions.watching import ClientGone, stopping
from orchestrator_http.contracts.ollama import NDJSON, line
from orchestrator_http.error_formats import error_format
from orchestrator_http.factory import key_guard
from orchestrator_http.problems import problem_from
from orchestrator_http.services import Services
from orchestrator_relay.client_stream import RelayStream

from orchestrator_vps import forwarded
from orchestrator_vps.desktop_response import DesktopResponse
from orchestrator_vps.disconnects import Leavers
from orchestrator_vps.hub import Hub
from orchestrator_vps.link import ADDRESS, DESKTOP
from orchestrator_vps.proxied import GONE
from orchestrator_vps.remembered import remember

WHOLE_ANSWER_S = 600.0
"""For the head of an answer that a model writes to its end first. A desktop that is lost meanwhile is
noticed by its heartbeat."""

SETTLE_S = 0.5
"""How long a request waits for the desktop to take in what was said or written here."""

BUFFERED_BYTES = 64 * 1024
"""A body known to be no larger is taken in whole before the client gets its head, so that a desktop lost
in the middle of it is no broken answer."""

MAX_EVENT_BYTES = 1024 * 1024
"""Of one event that is held back until it is whole."""

REPEATABLE = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""Methods that may be done twice, and by two replicas. PUT is not among them: the same edit of a document,
made at two replicas at once, is merged as two, and its lines are there twice."""

LOST_HINT = "It may have been done there: look before you send it again."

_log = logging.getLogger(__name__)


class Relaying:
    """The hooks of one app."""

    def __init__(self, app: Flask, services: Services, hub: Hub) -> None:
        self._app = app
        self._services = services
        self._hub = hub
        self._leavers = Leavers()
        app.before_request(self.before)
        app.after_request(self.after)

    def before(self) -> Response | None:
        """The desktop's answer, or None where this tier's own route is to answer.

        Raises:
            Unauthorized, Overloaded, ServerStopping: as the edge does for its own routes.
            InvalidRequest: X-Tier names no tier.
            TierUnreachable: only the desktop could answer. TierLost: it may have.
        """
        operation = current_operation()
        if operation is not None and (_is_of_this_tier(operation) or self._is_own_run(operation)):
            return None
        self._guard()
        decision = self._services.assistant.route(_wish())
        for_any_model = _is_for_any_model(operation)
        if decision.tier == DESKTOP:
            if not for_any_model:
                self._hub.catch_up(SETTLE_S)
            return self._pass_on(
                self._hub.open, decision.reason, demanded=decision.code is RouteReason.ASKED_FOR
            )
        if for_any_model and decision.code is not RouteReason.ASKED_FOR:
            lender = next(iter(self._hub.lenders()), None)
            if lender is not None:
                reason = f"{decision.reason}; an extra desktop lends its model"
                return self._pass_on(lender.open, reason, instead=decision.reason)
        self._answer_here(decision.reason)
        return None

    def after(self, response: Response) -> Response:
        """Says which tier answered a request that another could have answered too."""
        label: tuple[str, str] | None = g.get("tier_label")
        if label is not None:
            response.headers["X-Tier"] = label[0]
            response.headers["X-Tier-Reason"] = forwarded.in_a_header(label[1])
        return response

    def _is_own_run(self, operation: Operation) -> bool:
        """Whether it asks for a run that began here: one that is not known here may be the desktop's."""
        if operation.answered_by != "run_tier":
            return False
        try:
            self._services.assistant.runs.get((request.view_args or {}).get("run_id", ""))
        except NotFound:
            return False
        return True

    def _guard(self) -> None:
        """Addresses without a view pass the edge unchecked, for there they lead nowhere."""
        if request.endpoint is not None:
            return
        keys = key_guard(self._app)
        callers.refuse_beyond(g.caller or callers.identify(self._services, keys, None), None)
        if self._services.stopping.is_set() and request.method in ("POST", "PUT", "PATCH"):
            raise stopping()

    def _answer_here(self, reason: str) -> None:
        """
        Raises:
            TierUnreachable: there is no such route or run here, and the desktop may have one.
        """
        operation = current_operation()
        if operation is None or operation.answered_by == "run_tier":
            if self._hub.enrolled:
                raise TierUnreachable(
                    f"Only the desktop could answer this, and {reason}.", hint="Ask again when it is back."
                )
            return
        g.tier_label = (self._services.assistant.tier, reason)

    def _pass_on(
        self,
        open_: Callable[..., DesktopResponse],
        reason: str,
        *,
        instead: str | None = None,
        demanded: bool = False,
    ) -> Response | None:
        """
        Args:
            instead: why this tier answers, when that desktop does not.
            demanded: this tier may not.

        Raises:
            TierUnreachable, TierLost: see `before`.
        """
        with ExitStack() as held:
            self._services.slots.take()
            held.callback(self._services.slots.give_back)
            try:
                answer = self._asked(open_, held)
                body = self._small_body(answer)
            except TierUnreachable as error:
                if self._client_has_left():
                    raise ClientGone from None
                if demanded:
                    raise
                self._replaced(error, instead)
                return None
            if not demanded and body is not None and self._answered_instead(answer.status, body):
                return None
            g.tier_label = (DESKTOP, reason)
            if body is not None:
                known = self._services.assistant.conversations
                remember(request.method, request.path, answer.status, body, known)
            response = self._response(answer, body)
            if body is None:
                # From here on the response holds them.
                response.call_on_close(held.pop_all().close)
            return response

    def _answered_instead(self, status: int, body: bytes) -> bool:
        """Whether this tier answers what the desktop has no room for: nothing was kept there."""
        if status < 500 or not isinstance(from_body(_parsed(body), status), NO_ROOM):
            return False
        try:
            self._answer_here("the desktop cannot store anything")
        except TierUnreachable:
            return False
        return True

    def _asked(self, open_: Callable[..., DesktopResponse], held: ExitStack) -> DesktopResponse:
        """
        Args:
            held: is given what leaves the answer in the end.
        """
        waits_for_model = _is_for_any_model(current_operation())
        query = request.query_string.decode("latin-1")
        return open_(
            request.method,
            forwarded.target(request.environ, request.path, query),
            headers={**forwarded.request_headers(request.headers), ADDRESS: request.remote_addr or ""},
            body=whole_body(request, cache=True),
            timeout_s=WHOLE_ANSWER_S if waits_for_model else None,
            begun=lambda answer: self._hold(answer, held),
        )

    def _small_body(self, answer: DesktopResponse) -> bytes | None:
        """
        Raises:
            TierLost.
        """
        length = answer.headers.get("content-length", "")
        empty = request.method == "HEAD" or answer.status in (204, 304)
        if empty or (length.isdecimal() and int(length) <= BUFFERED_BYTES):
            return b"".join(answer.chunks())
        return None

    def _response(self, answer: DesktopResponse, body: bytes | None) -> Response:
        if body is None:
            streamed = answer.headers.get("content-type", "").startswith((EVENTS, NDJSON))
            parts = _whole_events(answer, request.path) if streamed else _whole_body(answer)
            response = Response(parts, status=answer.status)
        else:
            response = Response(body, status=answer.status)
        # The length is that of what arrives; of what HEAD leaves out only the desktop knows it.
        if request.method == "HEAD":
            response.automatically_set_content_length = False
            del response.headers["Content-Length"]
            if (length := answer.headers.get("content-length", "")).isdecimal():
                response.headers["Content-Length"] = length
        del response.headers["Content-Type"]
        for name, value in forwarded.response_headers(answer.header_list):
            response.headers.add(name, value)
        return response

    def _hold(self, answer: RelayStream, held: ExitStack) -> None:
        """Leave the answer in the end, and as soon as its client has left."""
        held.callback(answer.close)
        has_left = request.environ.get(GONE)
        if callable(has_left):
            held.enter_context(self._leavers.during(has_left, answer.close))

    def _client_has_left(self) -> bool:
        has_left = request.environ.get(GONE)
        return callable(has_left) and bool(has_left())

    def _replaced(self, error: TierUnreachable, instead: str | None) -> None:
        """
        Raises:
            TierLost: doing it here as well could do it twice.
            TierUnreachable: only the desktop could do it.
        """
        lost = isinstance(error, TierLost)
        if lost and not _may_be_repeated(current_operation()):
            raise TierLost(error.message, hint=LOST_HINT, code=error.code)
        self._answer_here(
            instead or ("the desktop was lost while it answered" if lost else "the desktop is away")
        )


def _is_of_this_tier(operation: Operation) -> bool:
    """Whether the VPS answers it of itself, whoever is connected."""
    return operation.answered_by == "here" or (operation.answered_by == "named" and _wish() != DESKTOP)


def _is_for_any_model(operation: Operation | None) -> bool:
    return (
        operation is not None
        and operation.answered_by == "any_model"
        and not is_for_assistant(whole_body(request, cache=True))
    )


def _may_be_repeated(operation: Operation | None) -> bool:
    """Whether the request may be done here after it may have been done there."""
    if operation is None or request.endpoint is None:
        return request.method in REPEATABLE
    return request.method in REPEATABLE or operation.repeatable or _is_for_any_model(operation)


def _wish() -> str:
    """Which tier the client wants, by the header X-Tier.

    Raises:
        InvalidRequest.
    """
    requested_tier = request.headers.get("X-Tier", "auto").strip().lower()
    if requested_tier not in get_args(RequestedTier):
        raise InvalidRequest(
            f"The header X-Tier names {requested_tier[:40]!r}, which is no tier.",
            hint=f"Leave it out, or give one of: {', '.join(get_args(RequestedTier))}.",
        )
    return requested_tier


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _whole_body(answer: DesktopResponse) -> Iterator[bytes]:
    """
    Raises:
        BrokenPipeError: it broke off; the connection to the client is to be cut as well, so that nobody
            takes a part for the whole.
    """
    try:
        yield from answer.chunks()
    except TierLost as loss:
        _log.warning("An answer of the desktop broke off: %s", loss)
        raise BrokenPipeError(errno.EPIPE, "the desktop was lost") from None


def _whole_events(answer: DesktopResponse, path: str) -> Iterator[bytes]:
    """Event by event, or line by line; a stream that breaks off ends with one that says so."""
    rest = b""
    lines = answer.headers.get("content-type", "").startswith(NDJSON)
    between = b"\n" if lines else b"\n\n"
    try:
        for part in answer.chunks():
            whole, end, rest = (rest + part).rpartition(between)
            if end:
                yield whole + end
            elif len(rest) > MAX_EVENT_BYTES:
                yield rest
                rest = b""
        if rest:
            yield rest
    except TierLost as loss:
        _log.warning("A stream of the desktop broke off: %s", loss)
        problem = problem_from(
            TierLost("The desktop was lost in the middle of its answer.", hint="Ask again.")
        )
        assert problem is not None
        errors = error_format(path)
        body = errors.body(problem)
        yield line(body) if lines else sse.frame(body, event=errors.event)
