"""What push has to remember: subscriptions, messages that are not delivered yet, and what was told before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator_core.errors import Conflict
from orchestrator_core.news import News
from shared_context.storage.database import Database
from shared_context.storage.identity import now

MAX_SUBSCRIPTIONS = 64
MAX_WAITING = 1000
"""Undelivered messages; the oldest are dropped first."""

MAX_TOLD = 10_000
QUIET_S = 600.0
"""News of the same subject that follow so soon are old news: a conflict changes with every word that is written."""

NEXT_TIER = "next-tier"
"""Receiver of what another tier sends in this one's place."""


def m001_push(connection: sqlite3.Connection) -> None:
    connection.execute(
        """CREATE TABLE receivers (
            endpoint TEXT PRIMARY KEY, p256dh TEXT NOT NULL, auth TEXT NOT NULL, device TEXT, name TEXT NOT NULL,
            created_at TEXT NOT NULL, delivered_at TEXT, problem TEXT NOT NULL DEFAULT '',
            failures INTEGER NOT NULL DEFAULT 0, rests_until REAL NOT NULL DEFAULT 0)"""
    )
    connection.execute(
        """CREATE TABLE waiting (
            number INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT NOT NULL, news TEXT NOT NULL,
            since REAL NOT NULL, due REAL NOT NULL)"""
    )
    connection.execute("CREATE INDEX waiting_by_endpoint ON waiting (endpoint, number)")
    connection.execute("CREATE TABLE told (id TEXT PRIMARY KEY, subject TEXT NOT NULL, at REAL NOT NULL)")
    connection.execute("CREATE INDEX told_by_subject ON told (subject, at)")


@dataclass(frozen=True, slots=True)
class Subscription:
    """
    Args:
        device: id of the paired device that made it, if one did.
        problem: why the last attempt did not succeed; "" when it did.
        failures: in a row.
    """

    endpoint: str
    p256dh: str
    auth: str
    name: str
    device: str | None
    created_at: str
    delivered_at: str | None
    problem: str
    failures: int

    @property
    def service(self) -> str:
        """Origin of its push service."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    Args:
        since, due: seconds since the epoch.
    """

    number: int
    receiver: Subscription
    news: News
    since: float
    due: float


class PushStore:
    """Safe to use from any thread.

    Raises:
        StoreError: from every method.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, (m001_push,), every_commit_durable=False)

    def close(self) -> None:
        self._database.close()

    def subscribe(self, endpoint: str, p256dh: str, auth: str, name: str, device: str | None) -> Subscription:
        """The endpoint's subscription from now on. A device has one: its former one is removed.

        Raises:
            Conflict: there are too many.
        """
        with self._database.write() as connection:
            if device is not None:
                _remove(connection, "endpoint != ? AND device = ?", (endpoint, device))
            connection.execute(
                """INSERT INTO receivers (endpoint, p256dh, auth, name, device, created_at) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (endpoint) DO UPDATE SET p256dh = excluded.p256dh, auth = excluded.auth,
                name = excluded.name, device = excluded.device, problem = '', failures = 0, rests_until = 0""",
                (endpoint, p256dh, auth, name, device, now()),
            )
            count = connection.execute("SELECT count(*) FROM receivers").fetchone()[0]
            if count > MAX_SUBSCRIPTIONS:
                raise Conflict(
                    f"There are {MAX_SUBSCRIPTIONS} subscriptions already.",
                    hint="GET /push lists them; DELETE /push removes one.",
                )
            row = connection.execute("SELECT * FROM receivers WHERE endpoint = ?", (endpoint,)).fetchone()
            return _subscription(row)

    def unsubscribe(self, endpoint: str) -> bool:
        """Whether there was one."""
        with self._database.write() as connection:
            return _remove(connection, "endpoint = ?", (endpoint,))

    def subscriptions(self) -> list[Subscription]:
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT * FROM receivers WHERE endpoint != ? ORDER BY created_at", (NEXT_TIER,)
            )
            return [_subscription(row) for row in rows]

    def add(self, news: News, at: float, due: float, *, next_tier: bool) -> bool:
        """Have every receiver told; False when it is old news.

        Args:
            next_tier: another tier is a receiver too.
        """
        with self._database.write() as connection:
            marks = ",".join("?" * len(news.ids))
            query = f"SELECT count(*) FROM told WHERE id IN ({marks})"  # noqa: S608
            if connection.execute(query, news.ids).fetchone()[0] == len(set(news.ids)):
                return False
            quiet = connection.execute(
                "SELECT 1 FROM told WHERE subject = ? AND at BETWEEN ? AND ?",
                (news.subject, at - QUIET_S, at),
            ).fetchone()
            connection.executemany(
                "INSERT OR IGNORE INTO told VALUES (?, ?, ?)", [(each, news.subject, at) for each in news.ids]
            )
            connection.execute(
                "DELETE FROM told WHERE rowid <= (SELECT max(rowid) FROM told) - ?", (MAX_TOLD,)
            )
            if quiet is not None:
                return False
            if next_tier:
                connection.execute(
                    "INSERT OR IGNORE INTO receivers (endpoint, p256dh, auth, name, created_at) VALUES (?, '', '', '', ?)",
                    (NEXT_TIER, now()),
                )
            connection.execute(
                """INSERT INTO waiting (endpoint, news, since, due)
                SELECT endpoint, ?, ?, ? FROM receivers WHERE endpoint != ? OR ?""",
                (news.model_dump_json(exclude_none=True), at, due, NEXT_TIER, next_tier),
            )
            connection.execute(
                "DELETE FROM waiting WHERE number <= (SELECT number FROM waiting ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (MAX_WAITING,),
            )
            return True

    def next(self, busy: Sequence[str]) -> Waiting | None:
        """The message that is due first, of the receivers that are not busy."""
        marks = ",".join("?" * len(busy))
        with self._database.read() as connection:
            row = connection.execute(
                f"""SELECT number, news, since, max(due, rests_until) AS due_at, receivers.* FROM waiting
                JOIN receivers USING (endpoint) WHERE endpoint NOT IN ({marks})
                ORDER BY due_at, number LIMIT 1""",  # noqa: S608
                tuple(busy),
            ).fetchone()
        if row is None:
            return None
        news = News.model_validate_json(row["news"])
        return Waiting(row["number"], _subscription(row), news, row["since"], row["due_at"])

    def settle(self, waiting: Waiting, *, problem: str = "") -> None:
        """It need not be sent any more: it was, without a problem, or never can be."""
        with self._removing(waiting) as connection:
            if problem:
                connection.execute(
                    "UPDATE receivers SET problem = ? WHERE endpoint = ?",
                    (problem, waiting.receiver.endpoint),
                )
            else:
                connection.execute(
                    "UPDATE receivers SET problem = '', failures = 0, rests_until = 0, delivered_at = ? WHERE endpoint = ?",
                    (now(), waiting.receiver.endpoint),
                )

    def drop(self, waiting: Waiting) -> None:
        """Nobody wants it any more."""
        with self._removing(waiting):
            pass

    def delay(self, waiting: Waiting, due: float) -> None:
        """Look at it again then."""
        with self._database.write() as connection:
            connection.execute("UPDATE waiting SET due = ? WHERE number = ?", (due, waiting.number))

    def postpone(self, waiting: Waiting, until: float, problem: str) -> None:
        """Leave its receiver alone for a while."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE receivers SET problem = ?, failures = failures + 1, rests_until = ? WHERE endpoint = ?",
                (problem, until, waiting.receiver.endpoint),
            )

    @contextmanager
    def _removing(self, waiting: Waiting) -> Iterator[sqlite3.Connection]:
        with self._database.write() as connection:
            connection.execute("DELETE FROM waiting WHERE number = ?", (waiting.number,))
            yield connection


def _remove(connection: sqlite3.Connection, where: str, values: tuple[str | None, ...]) -> bool:
    """
    Args:
        where: a condition of this module's own.
    """
    doomed = f"SELECT endpoint FROM receivers WHERE {where}"  # noqa: S608
    connection.execute(f"DELETE FROM waiting WHERE endpoint IN ({doomed})", values)  # noqa: S608
    return connection.execute(f"DELETE FROM receivers WHERE {where}", values).rowcount > 0  # noqa: S608


def _subscription(row: sqlite3.Row) -> Subscription:
    return Subscription(**{name: row[name] for name in Subscription.__slots__})
