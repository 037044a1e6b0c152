"""Every failure that can reach a client, as one `Problem`: status, words, headers.

The rooms below raise their own errors and know nothing of HTTP; this is the one place
where those are turned into statuses. Two renderings exist: DESIGN §6's body for our own
routes and OpenAI's for `/v1`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator_core.chat_request import invalid_request
from orchestrator_core.errors import OrchestratorError
from pydantic import ValidationError
from shared_context import errors as memory
from werkzeug.exceptions import HTTPException


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client is told.

    Args:
        param: the request field at fault.
        headers: extra response headers (Retry-After, Allow, WWW-Authenticate).
    """

    status: int
    type: str
    code: str
    message: str
    hint: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """DESIGN §6's error body."""
        return {"error": {"type": self.type, "code": self.code, "message": self.message, "hint": self.hint}}

    def openai_body(self) -> dict[str, Any]:
        """OpenAI's error body; the hint joins the message, for there is no field for it."""
        message = f"{self.message} {self.hint}" if self.hint else self.message
        return {"error": {"message": message, "type": self.type, "param": self.param, "code": self.code}}


class ServerStopping(OrchestratorError):
    """The server is being stopped; what runs is kept and goes on after the restart."""

    type = "overloaded_error"
    code = "stopping"
    status = 503


class ProblemError(Exception):
    """Raised where a problem is already known as such, for example a failed run's."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


_MEMORY: tuple[tuple[type[memory.SharedContextError], int, str, str], ...] = (
    (memory.ConversationNotFound, 404, "not_found_error", "conversation_not_found"),
    (memory.DocumentNotFound, 404, "not_found_error", "document_not_found"),
    (memory.DocumentRejected, 400, "invalid_request_error", "document_rejected"),
    (memory.StaleVersion, 412, "invalid_request_error", "unknown_version"),
    (memory.InvalidConversation, 400, "invalid_request_error", "invalid_conversation"),
    (memory.InvalidImport, 400, "invalid_request_error", "invalid_import"),
    (memory.StoreFull, 507, "storage_error", "storage_full"),
    (memory.StoreReadOnly, 503, "storage_error", "storage_read_only"),
    (memory.StoreLocked, 503, "storage_error", "storage_locked"),
    (memory.StoreFromFuture, 503, "storage_error", "storage_from_future"),
    (memory.StoreCorrupt, 503, "storage_error", "storage_corrupt"),
    (memory.StoreError, 503, "storage_error", "storage_error"),
    (memory.ExchangeRejected, 400, "invalid_request_error", "exchange_rejected"),
    (memory.PeerUnreachable, 502, "backend_error", "peer_unreachable"),
    (memory.PeerRefused, 502, "backend_error", "peer_refused"),
    (memory.ExchangeError, 502, "backend_error", "exchange_error"),
    (memory.DocumentError, 400, "invalid_request_error", "document_error"),
    (memory.SharedContextError, 500, "server_error", "memory_error"),
)
"""Memory's errors, specific before general."""

_RETRY_AFTER_S = {"loading": 5, "overloaded": 5, "backend_unreachable": 10, "stopping": 10}
"""Codes whose cause passes by itself, and when asking again makes sense (seconds)."""


def problem_from(error: BaseException) -> Problem | None:
    """The problem an expected error stands for; None when the error is a bug of ours."""
    match error:
        case ProblemError():
            return error.problem
        case OrchestratorError():
            return _from_thinking(error)
        case memory.SharedContextError():
            return _from_memory(error)
        case ValidationError():
            return _from_thinking(invalid_request(error))
        case HTTPException():
            return _from_werkzeug(error)
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Problem(
                507,
                "storage_error",
                "storage_full",
                "The disk is full; what was already stored is kept.",
                "Free some space in the data folder and try again.",
            )
    return None


def unexpected(request_id: str) -> Problem:
    """For a bug of ours: says where to look, nothing of what went wrong."""
    return Problem(
        500,
        "server_error",
        "internal_error",
        f"Something went wrong inside the server (request {request_id}).",
        "orchestrator.log holds the details under this request id.",
    )


def status_of_code(code: str) -> int:
    """The status that belongs to an error code of a stored run; 502 for one not known here."""
    return _STATUS_OF_CODE.get(code, 502)


def problem_from_body(body: Mapping[str, Any]) -> Problem:
    """The problem in an error body that was stored or came over a stream."""
    inner = body.get("error")
    fields: Mapping[str, Any] = inner if isinstance(inner, Mapping) else body
    code = str(fields.get("code") or "backend_error")
    return Problem(
        status_of_code(code),
        str(fields.get("type") or "backend_error"),
        code,
        str(fields.get("message") or "The answer failed."),
        fields.get("hint"),
        headers=_retry_header(_RETRY_AFTER_S.get(code)),
    )


def _from_thinking(error: OrchestratorError) -> Problem:
    retry_after_s = getattr(error, "retry_after_s", None) or _RETRY_AFTER_S.get(error.code)
    headers = dict(_retry_header(retry_after_s))
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="orchestrator"'
    return Problem(error.status, error.type, error.code, error.message, error.hint, error.param, headers)


def _from_memory(error: memory.SharedContextError) -> Problem:
    for kind, status, type_, code in _MEMORY:
        if isinstance(error, kind):
            return Problem(status, type_, code, error.message, error.hint)
    raise AssertionError("the base class is the last row")  # pragma: no cover


def _from_werkzeug(error: HTTPException) -> Problem:
    status = error.code or 500
    code, message, hint = _HTTP_WORDS.get(status, (f"http_{status}", error.description or error.name, None))
    headers = {}
    if status == 405:
        allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        headers["Allow"] = allowed
        message = f"{message} Allowed: {allowed}."
    type_ = "not_found_error" if status == 404 else "invalid_request_error"
    return Problem(status, type_, code, message, hint, headers=headers)


_HTTP_WORDS: dict[int, tuple[str, str, str | None]] = {
    400: ("invalid_request", "The request could not be read.", None),
    404: ("not_found", "There is nothing at this address.", "/openapi.json lists every route."),
    405: ("method_not_allowed", "This address does not take this method.", None),
    413: (
        "payload_too_large",
        "The request body is larger than this server accepts.",
        "server.max_body_bytes sets the limit.",
    ),
    415: (
        "unsupported_media_type",
        "The request body must be JSON.",
        "Send the header Content-Type: application/json.",
    ),
}


def _retry_header(seconds: float | None) -> Mapping[str, str]:
    return {} if seconds is None else {"Retry-After": str(max(1, round(seconds)))}


def _tree(kind: type[OrchestratorError]) -> Iterator[type[OrchestratorError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


_STATUS_OF_CODE: dict[str, int] = {kind.code: kind.status for kind in _tree(OrchestratorError)} | {
    code: status for _, status, _, code in _MEMORY
}
