"""Every failure that can reach a client, as one `Problem`: status, words, headers.

This is the one place where errors become responses. Two renderings exist: DESIGN §6's body for our own
routes and OpenAI's for `/v1`.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator_core.chat_request import invalid_request
from orchestrator_core.errors import ApplicationError, SignatureInvalid
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client is told.

    Args:
        param: the request field at fault.
        headers: extra response headers (Retry-After, Allow, WWW-Authenticate).
        server_time: Unix time in seconds, for a client whose clock is off.
    """

    status: int
    type: str
    code: str
    message: str
    hint: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    server_time: int | None = None

    def body(self) -> dict[str, Any]:
        """DESIGN §6's error body."""
        fields = {"type": self.type, "code": self.code, "message": self.message, "hint": self.hint}
        clock = {} if self.server_time is None else {"server_time": self.server_time}
        return {"error": {**fields, **clock}}

    def openai_body(self) -> dict[str, Any]:
        """OpenAI's error body; the hint joins the message, for there is no field for it."""
        message = f"{self.message} {self.hint}" if self.hint else self.message
        return {"error": {"message": message, "type": self.type, "param": self.param, "code": self.code}}


def problem_from(error: BaseException) -> Problem | None:
    """The problem an expected error stands for; None when the error is a bug of ours."""
    match error:
        case ApplicationError():
            return _from_application(error)
        case ValidationError():
            return _from_application(invalid_request(error))
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


def _from_application(error: ApplicationError) -> Problem:
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, error.retry_after_s))
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="orchestrator"'
    return Problem(
        error.status,
        error.type,
        error.code,
        error.message,
        error.hint,
        error.param,
        headers,
        error.server_time if isinstance(error, SignatureInvalid) else None,
    )


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
