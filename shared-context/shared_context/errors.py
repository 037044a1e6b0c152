"""Every error the memory room raises, in one tree.

SharedContextError
├── ConversationNotFound    no such conversation, or it was deleted
├── InvalidConversation     an id, title or role that cannot be stored
├── InvalidImport           a file or body that is no conversation; the item is named
├── StoreError              a database file cannot do its work
│   ├── StoreFull           disk, quota or file size limit reached; committed data stays
│   ├── StoreReadOnly       the file or folder cannot be written
│   ├── StoreFromFuture     written by a newer version; refused and not altered
│   ├── StoreLocked         another process holds the data folder or the file
│   └── StoreCorrupt        the file is no database, or a damaged one
├── ExchangeError           an exchange between replicas cannot go on
│   ├── ExchangeRejected    what the peer sent cannot be taken in; nothing was
│   ├── PeerUnreachable     no answer, in spite of trying again
│   └── PeerRefused         the peer answered with an error
└── DocumentError           a handoff document cannot be used
    ├── DocumentNotFound    not one of the four names, or no such version
    ├── DocumentRejected    not UTF-8, or larger than 4 MiB
    └── StaleVersion        the base version of an edit is unknown
"""

from __future__ import annotations


class SharedContextError(Exception):
    """Base of all errors of this package.

    Args:
        message: what is wrong, with the offending value, in one or two sentences.
        hint: what to do next; shown on its own line.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConversationNotFound(SharedContextError):
    """No conversation has this id, or it was deleted."""


class InvalidConversation(SharedContextError):
    """An id, title or role that cannot be stored."""


class InvalidImport(SharedContextError):
    """The data is no exported conversation; the message names the item at fault."""


class StoreError(SharedContextError):
    """A database file cannot do its work. What was committed before stays."""


class StoreFull(StoreError):
    """Disk, quota or file size limit reached."""


class StoreReadOnly(StoreError):
    """The file or its folder cannot be written."""


class StoreFromFuture(StoreError):
    """A newer version wrote this file; it is refused and not altered."""


class StoreLocked(StoreError):
    """Another process holds the data folder, or kept the file locked for too long."""


class StoreCorrupt(StoreError):
    """The file is no database, or a damaged one."""


class ExchangeError(SharedContextError):
    """An exchange between replicas cannot go on. What was taken in stays; repeating it is safe."""


class ExchangeRejected(ExchangeError):
    """What the peer sent cannot be taken in; nothing of it was."""


class PeerUnreachable(ExchangeError):
    """The peer gave no answer, in spite of trying again."""


class PeerRefused(ExchangeError):
    """The peer answered with an error.

    Args:
        status: the HTTP status; 0 when it does not matter.
    """

    def __init__(self, message: str, hint: str | None = None, *, status: int = 0) -> None:
        super().__init__(message, hint)
        self.status = status


class DocumentError(SharedContextError):
    """A handoff document cannot be used as asked."""


class DocumentNotFound(DocumentError):
    """Not one of the four names, or no such version of it."""


class DocumentRejected(DocumentError):
    """The text is not UTF-8, or larger than 4 MiB."""


class StaleVersion(DocumentError):
    """The base version of an edit is unknown, so the edit cannot be merged."""
