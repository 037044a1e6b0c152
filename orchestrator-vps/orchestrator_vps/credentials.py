"""The desktops enrolled here: their names, roles and hashed credentials, in `relay.db`.

The server and the command line use the file side by side. A credential has 256 random bits, so that
looking it up by its SHA-256 tells an attacker nothing, by time or otherwise.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from orchestrator_core.errors import Conflict, Forbidden, NotFound
from shared_context.storage.database import Database
from shared_context.storage.identity import after, new_id, now
from shared_context.storage.sqlite_errors import translated_system

from orchestrator_vps import codes
from orchestrator_vps.migrations import MIGRATIONS
from orchestrator_vps.own_command import own_command

FILE_NAME = "relay.db"

Role = Literal["source", "extra"]
ExtraDesktops = Literal["refuse", "serve"]


@dataclass(frozen=True, slots=True)
class EnrolledDesktop:
    """An enrolled desktop.

    Args:
        replica: id of its memory when it enrolled; "" when it did not say.
        role: `source`: the source of truth; `extra`: lends its model.
        seen_at: when its connection was last known to live.
        address: from where it dialled in last; "" before the first time.
        elsewhere, elsewhere_at: from where else its credential was used last, and when.
    """

    desktop_id: str
    name: str
    replica: str
    role: Role
    enrolled_at: str
    seen_at: str | None
    revoked_at: str | None
    address: str = ""
    elsewhere: str = ""
    elsewhere_at: str | None = None


class Credentials:
    """Safe from any thread, and beside other processes.

    Raises:
        StoreError: the file cannot be used.
    """

    def __init__(self, data: Path) -> None:
        with translated_system(data):
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = Database(data / FILE_NAME, MIGRATIONS)

    def new_code(self, valid_minutes: float = codes.VALID_MINUTES) -> str:
        """A code that enrols one desktop. Only its hash is kept."""
        code = codes.new_code()
        moment = now()
        with self._database.write() as connection:
            connection.execute("DELETE FROM codes WHERE expires_at < ?", (after(moment, timedelta(days=-1)),))
            connection.execute(
                "INSERT INTO codes (code_hash, expires_at) VALUES (?, ?)",
                (codes.digest(code), after(moment, timedelta(minutes=valid_minutes))),
            )
            connection.execute(
                "DELETE FROM codes WHERE used_at IS NULL AND rowid NOT IN "
                "(SELECT rowid FROM codes WHERE used_at IS NULL ORDER BY rowid DESC LIMIT ?)",
                (codes.MAX_LIVE,),
            )
        return code

    def enroll(self, code: str, name: str, replica: str, extra: ExtraDesktops) -> tuple[EnrolledDesktop, str]:
        """Enrol a desktop; its credential is returned this once. A memory that enrols again takes
        the place of its former enrolment.

        Raises:
            Forbidden: the code is unknown, used or expired.
            Conflict: another desktop is the source of truth, and extra ones are refused. The
                code stays valid.
        """
        credential = secrets.token_urlsafe(32)
        moment = now()
        with self._database.write() as connection:
            _check_code(connection, codes.digest(code), moment, self.own_command("code"))
            role = _role(connection, replica, extra, self.own_command("revoke ID"))
            if replica:
                connection.execute(
                    "UPDATE desktops SET revoked_at = ? WHERE replica = ? AND revoked_at IS NULL",
                    (moment, replica),
                )
            connection.execute(
                "UPDATE codes SET used_at = ? WHERE code_hash = ?", (moment, codes.digest(code))
            )
            desktop = EnrolledDesktop(new_id(), name, replica, role, moment, None, None)
            connection.execute(
                "INSERT INTO desktops (desktop_id, name, replica, role, credential_hash, enrolled_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (desktop.desktop_id, name, replica, role, _digest(credential), moment),
            )
        return desktop, credential

    def find(self, credential: str) -> EnrolledDesktop | None:
        """Whose it is; None for a wrong or revoked one."""
        with self._database.read() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM desktops WHERE credential_hash = ? AND revoked_at IS NULL",  # noqa: S608
                (_digest(credential),),
            ).fetchone()
        return EnrolledDesktop(**row) if row is not None else None

    def was_revoked(self, credential: str) -> bool:
        """Whether it was valid once."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT 1 FROM desktops WHERE credential_hash = ? AND revoked_at IS NOT NULL",
                (_digest(credential),),
            ).fetchone()
        return row is not None

    def desktops(self) -> list[EnrolledDesktop]:
        """All of them, revoked ones too, in the order of their enrolment."""
        with self._database.read() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM desktops ORDER BY rowid")  # noqa: S608
            return [EnrolledDesktop(**row) for row in rows]

    def get(self, desktop_id: str) -> EnrolledDesktop:
        """
        Raises:
            NotFound: there was never such a desktop.
        """
        for desktop in self.desktops():
            if desktop.desktop_id == desktop_id:
                return desktop
        raise NotFound(
            f"No desktop with the id {desktop_id[:80]!r} is enrolled.",
            hint=f"{self.own_command('desktops')} lists them.",
        )

    def revoke(self, desktop_id: str) -> EnrolledDesktop:
        """Its credential is refused from now on. Doing it again changes nothing.

        Raises:
            NotFound: there was never such a desktop.
        """
        with self._database.write() as connection:
            connection.execute(
                "UPDATE desktops SET revoked_at = ? WHERE desktop_id = ? AND revoked_at IS NULL",
                (now(), desktop_id),
            )
        return self.get(desktop_id)

    def seen(self, desktop_id: str) -> None:
        """Its connection lives now."""
        with self._database.write() as connection:
            connection.execute("UPDATE desktops SET seen_at = ? WHERE desktop_id = ?", (now(), desktop_id))

    def dialled_in(self, desktop_id: str, address: str) -> None:
        """It is connected from this address."""
        with self._database.write() as connection:
            connection.execute("UPDATE desktops SET address = ? WHERE desktop_id = ?", (address, desktop_id))

    def used_elsewhere(self, desktop_id: str, address: str) -> None:
        """Its credential was used from this address beside its connection."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE desktops SET elsewhere = ?, elsewhere_at = ? WHERE desktop_id = ?",
                (address, now(), desktop_id),
            )

    def own_command(self, words: str) -> str:
        """The command of this tier, as it is called on this machine for these credentials."""
        return own_command(words, self._database.path.parent)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_COLUMNS = (
    "desktop_id, name, replica, role, enrolled_at, seen_at, revoked_at, address, elsewhere, elsewhere_at"
)


def _check_code(connection: sqlite3.Connection, code_hash: bytes, moment: str, command: str) -> None:
    row = connection.execute(
        "SELECT expires_at, used_at FROM codes WHERE code_hash = ?", (code_hash,)
    ).fetchone()
    hint = f"{command}, on the VPS, makes a new one."
    if row is None:
        raise Forbidden("This enrolment code is wrong.", code="wrong_code", hint=hint)
    if row["used_at"] is not None:
        raise Forbidden("This enrolment code has been used.", code="used_code", hint=hint)
    if row["expires_at"] <= moment:
        raise Forbidden("This enrolment code has expired.", code="expired_code", hint=hint)


def _role(connection: sqlite3.Connection, replica: str, extra: ExtraDesktops, command: str) -> Role:
    active = connection.execute(
        "SELECT name, replica, role FROM desktops WHERE revoked_at IS NULL ORDER BY role = 'source' DESC"
    ).fetchall()
    for row in active:
        if replica and row["replica"] == replica:
            role: Role = row["role"]
            return role
    source = next((row["name"] for row in active if row["role"] == "source"), None)
    if source is None:
        return "source"
    if extra == "serve":
        return "extra"
    raise Conflict(
        f"The desktop {source!r} is the source of truth here, and further desktops are refused.",
        code="desktop_refused",
        hint=f"Revoke it first ({command}, on the VPS), or set relay.extra_desktops to 'serve' "
        "to let further desktops lend their models.",
    )


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode("utf-8", "surrogateescape")).digest()
