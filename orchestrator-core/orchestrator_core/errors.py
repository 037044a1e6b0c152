"""Every error the thinking room raises, in one tree, and the way of an error between processes.

An error crosses a pipe, a database or a network as its body; `from_body` is the only way back. Codes
are the registry: every class of this tree and of memory's has one, and `FURTHER_CODES` names the
classes of the rest.

OrchestratorError
├── AnswerNotStored               an answer is complete, and the memory could not take it
├── ServerStopping                the server takes nothing new; what runs goes on after its restart
├── ServerFailed                  a server process could not start
├── ConfigurationError            settings or environment cannot work as given
│   ├── MissingExtra              an optional package is not installed
│   └── PortInUse                 something else listens there
├── RequestError                  the caller can mend it (4xx)
│   ├── InvalidRequest            a field is missing, of the wrong type or out of range
│   │   └── ContextLengthExceeded the prompt can never fit the model's window
│   ├── Unauthorized              no valid key
│   │   └── SignatureInvalid      no valid signature of a device
│   ├── Forbidden                 known caller, forbidden target (foreign Host, path outside)
│   ├── NotFound                  unknown conversation, run, document
│   ├── Conflict                  the thing is in a state that forbids this
│   ├── PreconditionRequired      an If-Match header is missing
│   ├── PayloadTooLarge           the body is over the limit
│   └── Overloaded                the queue is full; try again later
├── BackupError                   a backup cannot be made or put back; nothing was replaced
│   ├── BackupDamaged             the archive is not as it was written, or was not written by us
│   └── BackupFromFuture          a newer version wrote it
└── BackendError                  the model side failed (5xx)
    ├── ModelNotFound             no such file or folder
    ├── ModelUnusable             the file is there but cannot be loaded
    ├── BackendLoading            not ready yet
    ├── BackendUnreachable        a remote backend does not answer
    ├── BackendTimeout            it answered too late
    ├── EngineLost                the engine process died during an answer
    ├── TemplateUnusable          a chat template is broken, or refuses these messages
    │   └── TemplateOverrun       it needed more time or memory than any honest one
    ├── TierRefused               another tier was reached, and its answer is an error
    ├── TierUnreachable           another tier cannot be reached; nothing was sent
    │   └── TierLost              it was lost, or silent, after the request was sent
    └── Unsupported               this backend cannot do what was asked
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared_context.errors import ApplicationError as ApplicationError
from shared_context.errors import SharedContextError


class OrchestratorError(ApplicationError):
    """Base of this tree. See `ApplicationError` for what every error carries."""


class AnswerNotStored(OrchestratorError):
    """The answer was produced, and the memory could not take it."""

    type = "storage_error"
    code = "answer_not_stored"


class ServerStopping(OrchestratorError):
    """The server is being stopped; what runs is kept and goes on after the restart."""

    type = "overloaded_error"
    code = "stopping"
    status = 503
    retry_after_s = 10


class ServerFailed(OrchestratorError):
    """A server process could not start; it has said why."""

    code = "server_failed"


class ConfigurationError(OrchestratorError):
    """Settings, environment or command line cannot work as given."""

    type = "configuration_error"
    code = "configuration_error"


class MissingExtra(ConfigurationError):
    """An optional package is needed; the hint is the command that brings it."""

    code = "missing_extra"
    status = 503

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed.",
            hint=f"Run: `orchestrator install {extra}`",
        )


class PortInUse(ConfigurationError):
    """Something else listens on this port."""

    code = "port_in_use"


class RequestError(OrchestratorError):
    """The caller can mend it."""

    type = "invalid_request_error"
    code = "request_error"
    status = 400


class InvalidRequest(RequestError):
    """A field is missing, of the wrong type or out of range."""

    code = "invalid_request"


class ContextLengthExceeded(InvalidRequest):
    """The prompt, with the room asked for the answer, can never fit the window."""

    code = "context_length_exceeded"


class Unauthorized(RequestError):
    """No key, or a wrong one."""

    type = "authentication_error"
    code = "unauthorized"
    status = 401


class SignatureInvalid(Unauthorized):
    """A request is signed by nobody who may ask, or not as it stands, or not now.

    Args:
        server_time: Unix time, in seconds, for a client that shall sign again with it.
    """

    code = "invalid_signature"
    server_time: int | None = None

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        code: str | None = None,
        server_time: int | None = None,
    ) -> None:
        super().__init__(message, hint, code=code)
        vars(self)["server_time"] = server_time


class Forbidden(RequestError):
    """A foreign Host or Origin, or a path outside the data folder."""

    type = "permission_error"
    code = "forbidden"
    status = 403


class NotFound(RequestError):
    """No such conversation, run, document or model."""

    type = "not_found_error"
    code = "not_found"
    status = 404


class Conflict(RequestError):
    """The thing exists but is in a state that forbids this."""

    code = "conflict"
    status = 409


class PreconditionRequired(RequestError):
    """The request must say which version it is based on."""

    code = "precondition_required"
    status = 428


class PayloadTooLarge(RequestError):
    """The body is larger than the server accepts."""

    code = "payload_too_large"
    status = 413


class Overloaded(RequestError):
    """The queue is full. `retry_after_s` goes into the Retry-After header."""

    type = "overloaded_error"
    code = "overloaded"
    status = 429

    retry_after_s: int = 5

    def __init__(self, message: str, *, retry_after_s: int = 5, hint: str | None = None) -> None:
        hint = hint or f"Try again in about {retry_after_s} seconds."
        super().__init__(message, hint, retry_after_s=retry_after_s)


class BackupError(OrchestratorError):
    """A backup cannot be made or put back. Nothing that was there before was replaced."""

    type = "backup_error"
    code = "backup_failed"


class BackupDamaged(BackupError):
    """The archive is not as it was written, or not one of ours."""

    code = "backup_damaged"


class BackupFromFuture(BackupError):
    """A newer version of this program wrote the archive, or a database in it."""

    code = "backup_from_future"


class BackendError(OrchestratorError):
    """The model side failed; the request itself was fine."""

    type = "backend_error"
    code = "backend_error"
    status = 502


class ModelNotFound(BackendError):
    """The model's file or folder does not exist."""

    code = "model_not_found"
    status = 503


class ModelUnusable(BackendError):
    """The model is there, but corrupt, unsupported or too large for this machine."""

    code = "model_unusable"
    status = 503


class BackendLoading(BackendError):
    """The model is still being loaded."""

    code = "loading"
    status = 503
    retry_after_s = 5


class BackendUnreachable(BackendError):
    """A remote backend refused the connection or broke it."""

    code = "backend_unreachable"
    status = 502
    retry_after_s = 10


class BackendTimeout(BackendError):
    """The backend did not answer within the configured time."""

    code = "backend_timeout"
    status = 504


class EngineLost(BackendError):
    """The engine process died while it was answering; the run may continue elsewhere."""

    code = "engine_lost"
    status = 502


class TierUnreachable(BackendError):
    """Another tier (desktop, VPS) cannot be reached; nothing happened there."""

    code = "tier_unreachable"
    status = 503


class TierLost(TierUnreachable):
    """Another tier was lost or silent after the request was sent: it may have happened there."""

    code = "tier_lost"
    status = 502


class TemplateUnusable(BackendError):
    """A chat template is broken, or refuses these messages."""

    code = "template_unusable"


class TemplateOverrun(TemplateUnusable):
    """A chat template needed more time or memory than any honest one."""

    code = "template_overrun"


class TierRefused(BackendError):
    """Another tier was reached, and this error is its answer: nobody else is asked.

    Args:
        error: as it would have been raised here.
    """

    code = "tier_refused"
    error: ApplicationError

    def __init__(self, error: ApplicationError) -> None:
        super().__init__(error.message, error.hint)
        vars(self)["error"] = error


class Unsupported(BackendError):
    """This backend cannot do what was asked (for example embeddings)."""

    type = "invalid_request_error"
    code = "unsupported"
    status = 400


FURTHER_CODES: Mapping[type[ApplicationError], tuple[str, ...]] = {
    OrchestratorError: ("given_up",),
    InvalidRequest: ("headers_too_large", "seal_broken"),
    Unauthorized: ("revoked",),
    SignatureInvalid: (
        "clock_off",
        "device_revoked",
        "no_household",
        "request_replayed",
        "unknown_key",
        "wrong_household",
    ),
    Forbidden: (
        "beyond_scope",
        "expired_code",
        "foreign_host",
        "foreign_origin",
        "no_pairing",
        "not_a_desktop",
        "not_for_desktops",
        "pairing_cancelled",
        "pairing_locked",
        "readable_key",
        "unknown_certificate",
        "used_code",
        "wrong_code",
        "wrong_fingerprint",
    ),
    NotFound: ("model_not_found", "previous_response_not_found"),
    Conflict: (
        "already_handed_off",
        "desktop_away",
        "desktop_refused",
        "draft_outdated",
        "gate_refused",
        "incomplete",
        "loopback_only",
        "model_exists",
        "model_in_use",
        "nothing_to_hand_off",
        "question_deleted",
        "wrong_hash",
        "wrong_offset",
    ),
    BackendError: ("backend_redirect", "backend_refused", "backend_unauthorized", "schema_not_followed"),
    ModelUnusable: ("model_damaged", "model_too_large", "out_of_memory"),
    TierUnreachable: ("tier_busy",),
    TierLost: ("tier_timeout",),
}
"""Codes that are given where an error is raised, by the class that they are given to."""

MAX_MESSAGE_CHARS = 2000

_OF_STATUS: Mapping[int, type[ApplicationError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: PayloadTooLarge,
    428: PreconditionRequired,
    429: Overloaded,
    504: BackendTimeout,
}


def fields_of(error: Exception) -> dict[str, Any]:
    """An error as JSON for another process: the inner part of its body, and what only processes of
    ours need. One that is in no tree becomes a BackendError."""
    if not isinstance(error, ApplicationError):
        error = BackendError(f"{type(error).__name__}: {error}")
    fields: dict[str, Any] = {**error.body()["error"], "status": error.status}
    optional = {"param": error.param, "retry_after_s": error.retry_after_s}
    return fields | {name: value for name, value in optional.items() if value is not None}


def from_body(body: object, status: int | None = None, *, default: str | None = None) -> ApplicationError:
    """The error that a body (docs/api.md), or what `fields_of` made, stands for.

    Its class is the one of its code; of a code that is not known, or that has another status here, the
    one of its status or type. Nothing of the body is trusted.

    Args:
        status: of the HTTP response that brought it.
        default: message of a body that has none.
    """
    inner = body.get("error") if isinstance(body, Mapping) else None
    fields = inner if isinstance(inner, Mapping) else body if isinstance(body, Mapping) else {}
    if status is None:
        status = _number(fields.get("status"), 400, 599)
    code, type_ = _word(fields.get("code")), _word(fields.get("type"))
    kind = _kind(code, type_, status)
    if default is None:
        default = "The answer failed." if status is None else f"The server answered with status {status}."
    message = str(fields.get("message") or default)[:MAX_MESSAGE_CHARS]
    hint = fields.get("hint")
    error = kind.__new__(kind, message)
    ApplicationError.__init__(
        error,
        message,
        hint[:MAX_MESSAGE_CHARS] if isinstance(hint, str) else None,
        code=code,
        param=_word(fields.get("param")),
        retry_after_s=_number(fields.get("retry_after_s"), 0, 3600),
    )
    vars(error).update({"type": type_ or kind.type, "status": status or kind.status})
    return error


def _kind(code: str | None, type_: str | None, status: int | None) -> type[ApplicationError]:
    known = [kind for kind in _of_code().get(code or "", ()) if status in (None, kind.status)]
    if known:
        return next((kind for kind in known if kind.type == type_), known[0])
    if status is not None and status in _OF_STATUS:
        return _OF_STATUS[status]
    if type_ in _of_type():
        return _of_type()[type_]
    if status is None or status >= 500:
        return BackendError
    return RequestError


@functools.cache
def _of_code() -> dict[str, list[type[ApplicationError]]]:
    kinds: dict[str, list[type[ApplicationError]]] = {}
    for kind in _trees():
        for code in (kind.code, *FURTHER_CODES.get(kind, ())):
            kinds.setdefault(code, []).append(kind)
    return kinds


@functools.cache
def _of_type() -> dict[str, type[ApplicationError]]:
    """The most general class of each type."""
    kinds: dict[str, type[ApplicationError]] = {}
    for kind in _trees():
        kinds.setdefault(kind.type, kind)
    return kinds


def _trees() -> Iterator[type[ApplicationError]]:
    """Both trees, level by level."""
    level: Iterable[type[ApplicationError]] = [OrchestratorError, SharedContextError]
    while kinds := list(level):
        yield from kinds
        level = (child for kind in kinds for child in kind.__subclasses__())


def _word(value: object) -> str | None:
    return value[:100] if isinstance(value, str) and value else None


def _number(value: object, least: int, most: int) -> int | None:
    known = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    return value if known else None  # type: ignore[return-value]
