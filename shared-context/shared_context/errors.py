"""Every error the memory room raises, in one tree, and the shape that all errors of this program share.

Each class has a code of its own, so that an error body names its class: `orchestrator_core.errors.from_body`
makes the error again on the other side of a process or a network.

SharedContextError
├── ConversationNotFound    no such conversation, or it was deleted
├── InvalidConversation     an id, title or role that cannot be stored
├── InvalidImport           a file or body that is no conversation; the item is named
├── StoreError              a database file cannot do its work
│   ├── StoreFull           disk, quota or file size limit reached; committed data stays
│   ├── StoreReadOnly       the file or folder cannot be written
│   ├── StoreGone           deleted, unmounted or replaced while it was open
│   ├── StoreFromFuture     written by a newer version; refused and not altered
│   ├── StoreLocked         another process holds the data folder or the file
│   └── StoreCorrupt        the file is no database, or a damaged one
├── ExchangeError           an exchange between replicas cannot go on
│   ├── ExchangeRejected    what the peer sent cannot be taken in; nothing was
│   ├── PeerUnreachable     no answer, in spite of trying again
│   └── PeerRefused         the peer answered with an error
├── DeviceError             a paired device cannot be used
│   ├── DeviceNotFound      the household never let it in
│   └── DeviceRejected      it cannot be let in, renamed or given that
└── DocumentError           a handoff document cannot be used
    ├── DocumentNotFound    not one of the four names, or no such version
    ├── DocumentRejected    not UTF-8, or larger than 4 MiB
    └── StaleVersion        the base version of an edit is unknown
"""

from __future__ import annotations

from typing import Any, Self


class ApplicationError(Exception):
    """Base of both trees: what a client, the log and the command line need to say. Immutable.

    Args:
        message: what is wrong, with the offending value, in one or two sentences.
        hint: what to do next; shown on its own line.
        code: overrides the class's machine-readable code.
        param: the request field at fault, if there is one.
        retry_after_s: seconds after which asking again makes sense; default: the class's.
    """

    type = "server_error"
    code = "internal_error"
    status = 500
    """HTTP status."""
    retry_after_s: int | None = None
    message: str
    hint: str | None
    param: str | None = None

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        optional = {"code": code, "param": param, "retry_after_s": retry_after_s}
        given = {name: value for name, value in optional.items() if value is not None}
        vars(self).update(given, message=message, hint=hint)

    def __setattr__(self, name: str, value: object) -> None:
        # Python itself marks an exception with its traceback and cause.
        if not name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} is immutable: {name!r} is given when it is made.")
        super().__setattr__(name, value)

    def with_hint(self, hint: str) -> Self:
        """The same error with another hint, and without this one's traceback."""
        twin = type(self).__new__(type(self), *self.args)
        vars(twin).update(vars(self), hint=hint)
        return twin

    def body(self) -> dict[str, Any]:
        """The JSON error body of docs/api.md."""
        return {
            "error": {
                "type": self.type,
                "code": self.code,
                "message": self.message,
                "hint": self.hint,
            }
        }


class SharedContextError(ApplicationError):
    """Base of all errors of this package."""

    code = "memory_error"


class ConversationNotFound(SharedContextError):
    """No conversation has this id, or it was deleted."""

    type = "not_found_error"
    code = "conversation_not_found"
    status = 404


class InvalidConversation(SharedContextError):
    """An id, title or role that cannot be stored."""

    type = "invalid_request_error"
    code = "invalid_conversation"
    status = 400


class InvalidImport(SharedContextError):
    """The data is no exported conversation; the message names the item at fault."""

    type = "invalid_request_error"
    code = "invalid_import"
    status = 400


class StoreError(SharedContextError):
    """A database file cannot do its work. What was committed before stays."""

    type = "storage_error"
    code = "storage_error"
    status = 503


class StoreFull(StoreError):
    """Disk, quota or file size limit reached."""

    code = "storage_full"
    status = 507


class StoreReadOnly(StoreError):
    """The file or its folder cannot be written."""

    code = "storage_read_only"


class StoreGone(StoreError):
    """The file was deleted, unmounted or replaced while it was open; nothing is written to what is left."""

    code = "storage_gone"


class StoreFromFuture(StoreError):
    """A newer version wrote this file; it is refused and not altered."""

    code = "storage_from_future"


class StoreLocked(StoreError):
    """Another process holds the data folder, or kept the file locked for too long."""

    code = "storage_locked"


class StoreCorrupt(StoreError):
    """The file is no database, or a damaged one."""

    code = "storage_corrupt"


class ExchangeError(SharedContextError):
    """An exchange between replicas cannot go on. What was taken in stays; repeating it is safe."""

    type = "backend_error"
    code = "exchange_error"
    status = 502


class ExchangeRejected(ExchangeError):
    """What the peer sent cannot be taken in; nothing of it was."""

    type = "invalid_request_error"
    code = "exchange_rejected"
    status = 400


class PeerUnreachable(ExchangeError):
    """The peer gave no answer, in spite of trying again."""

    code = "peer_unreachable"


class PeerRefused(ExchangeError):
    """The peer answered with an error.

    Args:
        peer_status: the HTTP status; 0 when it does not matter.
    """

    code = "peer_refused"

    peer_status = 0

    def __init__(self, message: str, hint: str | None = None, *, peer_status: int = 0) -> None:
        super().__init__(message, hint)
        vars(self)["peer_status"] = peer_status


class DeviceError(SharedContextError):
    """Base: something about a paired device."""

    type = "invalid_request_error"
    code = "device_error"
    status = 400


class DeviceNotFound(DeviceError):
    """The household never let a device with this id in."""

    type = "not_found_error"
    code = "device_not_found"
    status = 404


class DeviceRejected(DeviceError):
    """A device cannot be let in, or a field of it cannot be stored."""

    code = "device_rejected"


class DocumentError(SharedContextError):
    """A handoff document cannot be used as asked."""

    type = "invalid_request_error"
    code = "document_error"
    status = 400


class DocumentNotFound(DocumentError):
    """Not one of the four names, or no such version of it."""

    type = "not_found_error"
    code = "document_not_found"
    status = 404


class DocumentRejected(DocumentError):
    """The text is not UTF-8, or larger than 4 MiB."""

    code = "document_rejected"


class StaleVersion(DocumentError):
    """The base version of an edit is unknown, so the edit cannot be merged."""

    code = "unknown_version"
    status = 412
