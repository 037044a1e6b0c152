"""`access.db` in the data folder: named API keys, and what happened at the door.

Beside a running server or without: every request looks keys up, so `orchestrator keys revoke` counts at once. Of a
key only the hash is kept. Nothing here leaves its tier: each has its own keys and its own log.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator_core.errors import Conflict, InvalidRequest, NotFound
from shared_context.devices.device import SCOPES
from shared_context.errors import StoreError
from shared_context.storage.database import Database
from shared_context.storage.identity import new_id, now

from orchestrator_http.access.keys import Caller
from orchestrator_http.access.migrations import MIGRATIONS

FILE_NAME = "access.db"
MAX_EVENTS = 5000
"""Of the audit log; the oldest go first."""

MAX_NAME_CHARS = 64
OWN_KEY = "own"
"""What `Access.own_key` is called where a caller is named."""

_PREFIX = "orc_"
"""What a key begins with, so that scanners for leaked secrets know one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """
    Args:
        scopes: of `shared_context.devices.device.SCOPES`.
        last_used_at: to the minute; None: never.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: str
    last_used_at: str | None
    revoked_at: str | None


@dataclass(frozen=True, slots=True)
class AccessEvent:
    """
    Args:
        what: "paired", "refused", "revoked", "renamed", "key_added", "key_revoked"…
        subject: id of the device or key; "" where nobody is known.
        address: from where; "" where it is not known.
        detail: for people; never a secret.
    """

    at: str
    what: str
    subject: str
    address: str
    detail: str


class Access:
    """Safe from any thread, and from several processes. What cannot be written down keeps nobody out.

    Raises:
        StoreError: the file cannot be used.
    """

    def __init__(self, data: Path) -> None:
        self._database = Database(data / FILE_NAME, MIGRATIONS)
        self.own_key = _PREFIX + secrets.token_urlsafe(32)
        """Of this process, for the commands of the user who runs it; it ends with the process."""

    def add_key(self, name: str, scopes: Sequence[str] = SCOPES) -> tuple[ApiKey, str]:
        """A new key; the secret is told this once.

        Raises:
            InvalidRequest: the name or a scope cannot be used. Conflict: a valid key has this name.
        """
        if not (0 < len(name) <= MAX_NAME_CHARS and name.isprintable() and name.strip() == name):
            raise InvalidRequest(
                f"The name of a key is up to {MAX_NAME_CHARS} printable characters.", param="name"
            )
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise InvalidRequest(f"The scopes of a key are some of {', '.join(SCOPES)}.", param="scopes")
        if any(key.name == name and key.revoked_at is None for key in self.api_keys()):
            raise Conflict(
                f"There is a key {name!r} already.", hint=f"Run: `orchestrator keys revoke {name}`"
            )
        secret = _PREFIX + secrets.token_urlsafe(32)
        given = tuple(scope for scope in SCOPES if scope in scopes)
        key = ApiKey(new_id(), name, given, now(), None, None)
        with self._database.write() as connection:
            connection.execute(_ADD, (key.id, name, " ".join(given), _digest(secret), key.created_at))
        self.note("key_added", subject=key.id, detail=f"{name}: {' '.join(given)}")
        return key, secret

    def api_keys(self) -> list[ApiKey]:
        """All that ever were, in the order of their making."""
        with self._database.read() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM api_keys ORDER BY rowid")  # noqa: S608
            return [ApiKey(**{**dict(row), "scopes": tuple(row["scopes"].split())}) for row in rows]

    def revoke_key(self, key: str) -> ApiKey:
        """It is refused from the next request on.

        Args:
            key: its id, or its name.

        Raises:
            NotFound: no valid key is called so.
        """
        present = [one for one in self.api_keys() if key in (one.id, one.name) and one.revoked_at is None]
        if not present:
            raise NotFound(
                f"There is no valid key {key[:64]!r}.", hint="`orchestrator keys list` shows them."
            )
        with self._database.write() as connection:
            connection.execute("UPDATE api_keys SET revoked_at = ? WHERE id = ?", (now(), present[0].id))
        self.note("key_revoked", subject=present[0].id, detail=present[0].name)
        return next(one for one in self.api_keys() if one.id == present[0].id)

    def holder(self, secret: str) -> Caller | None:
        """Whose key it is; None for a wrong or revoked one. By its hash, so that timing tells nothing of any key."""
        digest = _digest(secret)
        if hmac.compare_digest(digest, _digest(self.own_key)):
            return Caller("key", id=OWN_KEY, name=OWN_KEY)
        with self._database.read() as connection:
            row = connection.execute(_FIND, (digest,)).fetchone()
        if row is None:
            return None
        moment = now()
        if (row["last_used_at"] or "")[:16] != moment[:16]:
            with suppress(StoreError), self._database.write() as connection:
                connection.execute("UPDATE api_keys SET last_used_at = ? WHERE id = ?", (moment, row["id"]))
        return Caller("key", frozenset(row["scopes"].split()), row["id"], row["name"])

    def note(self, what: str, *, subject: str = "", address: str = "", detail: str = "") -> None:
        """Put an event in the log; it holds the last `MAX_EVENTS`."""
        fields = (now(), what, subject[:64], address[:64], detail[:200])
        try:
            with self._database.write() as connection:
                number = connection.execute(_NOTE, fields).lastrowid or 0
                connection.execute("DELETE FROM events WHERE number <= ?", (number - MAX_EVENTS,))
        except StoreError as error:
            _log.warning("Not in the log of access: %s (%s)", what, error.message)

    def events(self, limit: int = 100) -> list[AccessEvent]:
        """The latest first."""
        with self._database.read() as connection:
            rows = connection.execute(_EVENTS, (limit,))
            return [AccessEvent(**dict(row)) for row in rows]

    def close(self) -> None:
        self._database.close()


def _digest(secret: str) -> bytes:
    """A key has 256 random bits: its hash needs neither salt nor stretching."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


_COLUMNS = "id, name, scopes, created_at, last_used_at, revoked_at"
_ADD = "INSERT INTO api_keys (id, name, scopes, key_hash, created_at) VALUES (?, ?, ?, ?, ?)"
_FIND = "SELECT id, name, scopes, last_used_at FROM api_keys WHERE key_hash = ? AND revoked_at IS NULL"
_NOTE = "INSERT INTO events (at, what, subject, address, detail) VALUES (?, ?, ?, ?, ?)"
_EVENTS = "SELECT at, what, subject, address, detail FROM events ORDER BY number DESC LIMIT ?"
