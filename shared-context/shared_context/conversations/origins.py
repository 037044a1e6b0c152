"""Who wrote what: the writers of the log, and how far this replica has each one's part.

Every opening of a replica's file writes under an id of its own, drawn when it writes first. So a
file that was copied, put back from a backup, or lost its last commits in a power cut can never
give the same `(origin, sequence)` to two different things: after the next start it counts anew.

Not covered: a virtual machine resumed twice from one memory snapshot, while the program ran.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from shared_context.storage.identity import new_id

Vector = Mapping[str, int]
"""How much of each origin's log a replica has: all up to this sequence number."""

FORMER_IDS = 20
"""Replica ids given up that are remembered; only for a person to read."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A writer: the `number`th of its replica to write anything, from 0."""

    origin: str
    replica_id: str
    number: int
    sequence: int


class Writer:
    """This opening of the file as a writer."""

    def __init__(self) -> None:
        self._origin = secrets.token_hex(8)

    @property
    def origin(self) -> str:
        return self._origin

    def take(self, connection: sqlite3.Connection, count: int = 1) -> int:
        """Reserve the next `count` numbers of the log; returns the last of them."""
        row = connection.execute(_TAKE, (count, self._origin)).fetchone()
        if row is None:
            replica = replica_id(connection)
            connection.execute(_BEGIN, (self._origin, replica))
            row = connection.execute(_TAKE, (count, self._origin)).fetchone()
        return int(row[0])

    def renew(self) -> None:
        """Write under another id from now on."""
        self._origin = secrets.token_hex(8)


def vector(connection: sqlite3.Connection) -> dict[str, int]:
    rows = connection.execute("SELECT origin, sequence FROM origins WHERE sequence > 0")
    return {row["origin"]: row["sequence"] for row in rows}


def origins_ahead_of(connection: sqlite3.Connection, have: Vector) -> list[Origin]:
    """The writers of which somebody with this vector lacks something, oldest writer first."""
    rows = connection.execute("SELECT origin, replica_id, number, sequence FROM origins ORDER BY 2, 3, 1")
    return [Origin(**dict(row)) for row in rows if row["sequence"] > have.get(row["origin"], 0)]


def advance(connection: sqlite3.Connection, origin: Origin) -> None:
    """This replica has that writer's log up to `origin.sequence` now."""
    connection.execute(_ADVANCE, (origin.origin, origin.replica_id, origin.number, origin.sequence))


def replica_id(connection: sqlite3.Connection) -> str:
    return str(connection.execute("SELECT value FROM meta WHERE key = 'replica_id'").fetchone()[0])


def take_new_replica_id(connection: sqlite3.Connection) -> tuple[str, str]:
    """Give up the replica id, which another copy of the file uses too; returns (old, new)."""
    old, new = replica_id(connection), new_id()
    connection.execute("UPDATE meta SET value = ? WHERE key = 'replica_id'", (new,))
    former = [*former_replica_ids(connection), old][-FORMER_IDS:]
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('former_replica_ids', ?)", (json.dumps(former),))
    return old, new


def former_replica_ids(connection: sqlite3.Connection) -> list[str]:
    row = connection.execute("SELECT value FROM meta WHERE key = 'former_replica_ids'").fetchone()
    return [] if row is None else list(json.loads(row[0]))


_TAKE = "UPDATE origins SET sequence = sequence + ? WHERE origin = ? RETURNING sequence"
_BEGIN = """INSERT INTO origins (origin, replica_id, number, sequence)
    SELECT ?1, ?2, coalesce(max(number), -1) + 1, 0 FROM origins WHERE replica_id = ?2"""
_ADVANCE = """INSERT INTO origins (origin, replica_id, number, sequence) VALUES (?, ?, ?, ?)
    ON CONFLICT (origin) DO UPDATE SET sequence = max(sequence, excluded.sequence)"""
