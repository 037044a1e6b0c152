"""What was written on this device and is not yet seen at a server, on disk before anything is sent.

An entry's id is chosen here and goes with it, so that sending it again changes nothing. It leaves the outbox when a
server showed it in its history, or when the owner deletes it; nothing expires.

    queued      not sent; goes as soon as a server is reached
    sending     under way
    unclear     sent, and nobody knows what became of it: looked up, then sent again; or deleted by the owner
    answered    done; waits to be seen in the server's history
    refused     a server said no: the owner mends the cause and retries, or deletes it

Entries of one lane (a conversation, a document) go in the order in which they were written: one that is refused or
unclear is waited for. Covered: a crash between any two statements, a full disk. Not covered: a device that is lost.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from shared_context.errors import StoreFull
from shared_context.storage.database import Database
from shared_context.storage.identity import new_id, now

from mobile_sync.errors import EntryNotFound


class EntryState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    UNCLEAR = "unclear"
    ANSWERED = "answered"
    REFUSED = "refused"


class EntryKind(StrEnum):
    MESSAGE = "message"
    LOG_ENTRY = "log_entry"
    EDIT = "edit"


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """
    Args:
        entry_id: the idempotency key: the id of the message, the log entry or the edit.
        lane: what must keep its order: a conversation's id, a document's name.
        body: what will be sent.
        problem: why it was not delivered so far; "" when nothing went wrong.
    """

    entry_id: str
    kind: EntryKind
    lane: str
    body: Mapping[str, Any]
    state: EntryState
    created_at: str
    problem: str = ""

    @property
    def text(self) -> str:
        """What the owner wrote."""
        return str(self.body.get("message") or self.body.get("text") or "")


def m001_outbox(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE outbox (position INTEGER PRIMARY KEY AUTOINCREMENT, entry_id TEXT NOT NULL UNIQUE,"
        " kind TEXT NOT NULL, lane TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL,"
        " created_at TEXT NOT NULL, problem TEXT NOT NULL DEFAULT '')"
    )


class Outbox:
    """Safe from any thread; one process. What a former process left `sending` is `unclear` now.

    Args:
        path: the file; made when missing, readable by its owner only.

    Raises (all methods):
        StoreFull: the disk is full. Nothing was changed, and what is in it stays.
        StoreError: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, (m001_outbox,))
        try:
            with self._database.write() as connection:
                connection.execute(
                    "UPDATE outbox SET state = ? WHERE state = ?", (EntryState.UNCLEAR, EntryState.SENDING)
                )
        except StoreFull:
            # Reading works; `sending` is taken for what it is by whoever delivers.
            pass
        except BaseException:
            self._database.close()
            raise

    def add(
        self, kind: EntryKind, lane: str, body: Mapping[str, Any], *, entry_id: str | None = None
    ) -> OutboxEntry:
        """Keep this. It is on disk when this returns, and before that nothing of it may be sent.

        Args:
            entry_id: default: a new one. One that is there already changes nothing.
        """
        entry_id = entry_id or new_id()
        try:
            with self._database.write() as connection:
                connection.execute(
                    "INSERT OR IGNORE INTO outbox (entry_id, kind, lane, body, state, created_at)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (entry_id, kind, lane, json.dumps(dict(body)), EntryState.QUEUED, now()),
                )
        except StoreFull as error:
            raise StoreFull(
                "This device's disk is full: what you wrote was not kept, and nothing was sent.",
                "Free some space and send it again. What waits in the outbox already stays there.",
            ) from error
        return self.get(entry_id)

    def get(self, entry_id: str) -> OutboxEntry:
        """
        Raises:
            EntryNotFound.
        """
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM outbox WHERE entry_id = ?", (entry_id,)).fetchone()
        if row is None:
            raise EntryNotFound(
                f"The outbox has no entry {entry_id!r}.",
                "It was delivered, or deleted; `orchestrator phone outbox` lists what waits.",
            )
        return _entry(row)

    def entries(self, lane: str | None = None) -> list[OutboxEntry]:
        """All entries, or those of one lane, in the order in which they were written."""
        where, values = ("", ()) if lane is None else ("WHERE lane = ?", (lane,))
        with self._database.read() as connection:
            rows = connection.execute(f"SELECT * FROM outbox {where} ORDER BY position", values)  # noqa: S608 -- our own words
            return [_entry(row) for row in rows]

    def mark(self, entry_id: str, state: EntryState, *, problem: str = "") -> None:
        """The entry is in this state now. One that was deleted meanwhile stays deleted."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE outbox SET state = ?, problem = ? WHERE entry_id = ?", (state, problem, entry_id)
            )

    def remove(self, entry_id: str) -> None:
        """The entry was seen in a server's history. Idempotent."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM outbox WHERE entry_id = ?", (entry_id,))

    def retry(self, entry_id: str) -> OutboxEntry:
        """The owner wants it sent again, with the same id.

        Raises:
            EntryNotFound.
        """
        entry = self.get(entry_id)
        if entry.state in (EntryState.REFUSED, EntryState.UNCLEAR, EntryState.ANSWERED):
            state = EntryState.QUEUED if entry.state is EntryState.REFUSED else EntryState.UNCLEAR
            self.mark(entry_id, state)
        return self.get(entry_id)

    def delete(self, entry_id: str) -> OutboxEntry:
        """The owner does not want it any more. What was sent, or is under way, may have arrived all the same.

        Returns:
            the entry as it was.

        Raises:
            EntryNotFound.
        """
        entry = self.get(entry_id)
        self.remove(entry_id)
        return entry

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """See `Database.on_commit`."""
        return self._database.on_commit(listener)

    def close(self) -> None:
        """Idempotent."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _entry(row: sqlite3.Row) -> OutboxEntry:
    return OutboxEntry(
        row["entry_id"],
        EntryKind(row["kind"]),
        row["lane"],
        json.loads(row["body"]),
        EntryState(row["state"]),
        row["created_at"],
        row["problem"],
    )
