"""Runs on disk (`runs.db`): enough to continue an unfinished one and to replay a finished one.

Events are stored as chunks, one per flush: a row per token would cost a hundred times more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shared_context.storage.database import Database
from shared_context.storage.identity import ago, now

from orchestrator_core.runs import codec
from orchestrator_core.runs.event_log import Entry
from orchestrator_core.runs.spec import RunResult, RunSpec, RunState

KEEP_DAYS = 7
"""Nobody reconnects to an answer's stream after a week; the answer itself is in its conversation."""
KEEP_RUNS = 1000
"""Finished runs kept at most: with answers of a few kilobytes some tens of megabytes."""


def m001_runs(connection: sqlite3.Connection) -> None:
    connection.execute(
        """CREATE TABLE runs (
            run_id TEXT PRIMARY KEY,
            spec TEXT NOT NULL,
            prompt TEXT,
            state TEXT NOT NULL,
            produced INTEGER NOT NULL DEFAULT 0,
            outcome TEXT,
            recoveries INTEGER NOT NULL DEFAULT 0,
            created_at TEXT NOT NULL,
            finished_at TEXT
        )"""
    )
    connection.execute("CREATE INDEX runs_unfinished ON runs (created_at) WHERE finished_at IS NULL")
    connection.execute("CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL")
    connection.execute(
        """CREATE TABLE run_events (
            run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
            first_offset INTEGER NOT NULL,
            events TEXT NOT NULL,
            PRIMARY KEY (run_id, first_offset)
        ) WITHOUT ROWID"""
    )


MIGRATIONS = (m001_runs,)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the store knows it, or is to know it.

    Args:
        events: (offset, entry); when it is written only those that were not before, when it is read
            those up to the last flush.
        produced: tokens that the text up to the last of them stands for.
        result: how production ended, once it has.
        finished_at: when everything was over, so that nothing is left to recover.
        respecced: the spec is another one than was written last.
        recoveries: how often it was begun again.
    """

    spec: RunSpec
    state: RunState
    events: Sequence[tuple[int, Entry]]
    produced: int
    result: RunResult | None = None
    finished_at: str | None = None
    respecced: bool = False
    created_at: str = ""
    recoveries: int = 0


class RunStore:
    """Safe to use from any thread. Errors of the file itself are `StoreError`s."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, path: Path) -> Self:
        """The store in this file. A power cut may cost the last flushes; a dying process nothing:
        answers are made durable in their conversation."""
        return cls(Database(path, MIGRATIONS, every_commit_durable=False))

    def close(self) -> None:
        self._database.close()

    def create(self, spec: RunSpec, created_at: str | None = None) -> bool:
        """Write a new run down; False when this id is known already."""
        with self._database.write() as connection:
            inserted = connection.execute(
                """INSERT INTO runs (run_id, spec, prompt, state, created_at) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT DO NOTHING""",
                (
                    spec.run_id,
                    codec.pack_spec(spec),
                    codec.pack_prompt(spec.prompt),
                    RunState.QUEUED,
                    created_at or now(),
                ),
            )
            return inserted.rowcount == 1

    def write(self, records: Sequence[RunRecord]) -> None:
        """What is new of these runs, in one transaction."""
        with self._database.write() as connection:
            for record in records:
                for first_offset, entries in chunks(record.events):
                    connection.execute(
                        "INSERT INTO run_events (run_id, first_offset, events) VALUES (?, ?, ?)",
                        (record.spec.run_id, first_offset, codec.pack_entries(entries)),
                    )
                if record.respecced:
                    connection.execute(
                        "UPDATE runs SET spec = ?2, prompt = ?3 WHERE run_id = ?1",
                        (
                            record.spec.run_id,
                            codec.pack_spec(record.spec),
                            codec.pack_prompt(record.spec.prompt),
                        ),
                    )
                connection.execute(
                    """UPDATE runs SET state = ?2, produced = ?3, outcome = ?4, finished_at = ?5,
                        prompt = iif(?5 IS NULL, prompt, NULL) WHERE run_id = ?1""",
                    (
                        record.spec.run_id,
                        record.state,
                        record.produced,
                        None if record.result is None else codec.pack_result(record.result),
                        record.finished_at,
                    ),
                )

    def load(self, run_id: str) -> RunRecord | None:
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if row is None:
                return None
            events: list[tuple[int, Entry]] = []
            query = "SELECT * FROM run_events WHERE run_id = ? ORDER BY first_offset"
            for chunk in connection.execute(query, (run_id,)):
                events.extend(enumerate(codec.unpack_entries(chunk["events"]), chunk["first_offset"]))
        return RunRecord(
            spec=codec.unpack_spec(row["spec"], row["prompt"]),
            state=RunState(row["state"]),
            events=events,
            produced=row["produced"],
            result=None if row["outcome"] is None else codec.unpack_result(row["outcome"]),
            recoveries=row["recoveries"],
            created_at=row["created_at"],
            finished_at=row["finished_at"],
        )

    def unfinished(self) -> list[str]:
        """Ids of the runs that a recovery has to look at, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT run_id FROM runs WHERE finished_at IS NULL ORDER BY created_at, run_id"
            )
            return [row["run_id"] for row in rows]

    def note_recovery(self, run_id: str) -> None:
        """Count an attempt to continue it, before it is made. Not even a power cut forgets it: the
        count decides which offsets are free."""
        with self._database.write() as connection:
            connection.execute("UPDATE runs SET recoveries = recoveries + 1 WHERE run_id = ?", (run_id,))
        self._database.sync()

    def give_up(self, run_id: str) -> None:
        """Leave an unreadable run out of every later recovery."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE runs SET state = ?, finished_at = ? WHERE run_id = ?",
                (RunState.FAILED, now(), run_id),
            )

    def specs(self) -> list[tuple[RunSpec, bool]]:
        """Of all runs, without their prompts, and whether they are over."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT spec, finished_at FROM runs").fetchall()
        return [(codec.unpack_spec(row["spec"], None), row["finished_at"] is not None) for row in rows]

    def forget(self, run_ids: Sequence[str]) -> None:
        """Nothing is left of these runs."""
        with self._database.write() as connection:
            connection.executemany("DELETE FROM runs WHERE run_id = ?", [(run_id,) for run_id in run_ids])
        self._database.scrub()

    def prune(self, *, keep_runs: int = KEEP_RUNS, keep_days: float = KEEP_DAYS) -> int:
        """Forget finished runs that are too old or too many; returns how many."""
        with self._database.write() as connection:
            deleted = connection.execute(
                """DELETE FROM runs WHERE finished_at < ?1 OR run_id IN (
                    SELECT run_id FROM runs WHERE finished_at IS NOT NULL
                    ORDER BY finished_at DESC LIMIT -1 OFFSET ?2)""",
                (ago(days=keep_days), keep_runs),
            )
            return deleted.rowcount


def chunks(events: Sequence[tuple[int, Entry]]) -> list[tuple[int, list[Entry]]]:
    """Events grouped into stretches without a leap: (first offset, entries)."""
    grouped: list[tuple[int, list[Entry]]] = []
    for offset, entry in events:
        if grouped and grouped[-1][0] + len(grouped[-1][1]) == offset:
            grouped[-1][1].append(entry)
        else:
            grouped.append((offset, [entry]))
    return grouped
