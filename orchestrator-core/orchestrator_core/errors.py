"""Every error the thinking room raises, in one tree.

OrchestratorError
├── ConfigurationError            settings or environment cannot work as given
│   ├── MissingExtra              an optional package is not installed
│   └── PortInUse                 something else listens there
├── RequestError                  the caller can mend it (4xx)
│   ├── InvalidRequest            a field is missing, of the wrong type or out of range
│   │   └── ContextLengthExceeded the prompt can never fit the model's window
│   ├── Unauthorized              no valid key
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
    ├── TierUnreachable           another tier cannot be reached; nothing was sent
    │   └── TierLost              it was lost, or silent, after the request was sent
    └── Unsupported               this backend cannot do what was asked
"""

from __future__ import annotations

from typing import Any


class OrchestratorError(Exception):
    """Base of all errors: carries what the HTTP edge and the CLI need to say.

    Args:
        message: what is wrong, with the offending value, in one or two sentences.
        hint: what to do next; shown on its own line.
        code: overrides the class's machine-readable code.
        param: the request field at fault, if there is one.
    """

    type = "server_error"
    code = "internal_error"
    status = 500

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param
        if code is not None:
            self.code = code

    def body(self) -> dict[str, Any]:
        """The JSON error body of DESIGN §6."""
        return {
            "error": {
                "type": self.type,
                "code": self.code,
                "message": self.message,
                "hint": self.hint,
            }
        }


class ConfigurationError(OrchestratorError):
    """Settings, environment or command line cannot work as given."""

    type = "configuration_error"
    code = "configuration_error"


class MissingExtra(ConfigurationError):
    """An optional package is needed; the hint is the exact pip command."""

    code = "missing_extra"
    status = 503

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed.",
            hint=f"Run: pip install 'orchestrator[{extra}]'",
        )


class PortInUse(ConfigurationError):
    """Something else listens on this port."""

    code = "port_in_use"


class RequestError(OrchestratorError):
    """The caller can mend it."""

    type = "invalid_request_error"
    code = "invalid_request"
    status = 400


class InvalidRequest(RequestError):
    """A field is missing, of the wrong type or out of range."""


class ContextLengthExceeded(InvalidRequest):
    """The prompt, with the room asked for the answer, can never fit the window."""

    code = "context_length_exceeded"


class Unauthorized(RequestError):
    """No key, or a wrong one."""

    type = "authentication_error"
    code = "unauthorized"
    status = 401


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

    def __init__(self, message: str, *, retry_after_s: int = 5, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or f"Try again in about {retry_after_s} seconds.")
        self.retry_after_s = retry_after_s


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


class BackendUnreachable(BackendError):
    """A remote backend refused the connection or broke it."""

    code = "backend_unreachable"
    status = 502


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


class Unsupported(BackendError):
    """This backend cannot do what was asked (for example embeddings)."""

    type = "invalid_request_error"
    code = "unsupported"
    status = 400
