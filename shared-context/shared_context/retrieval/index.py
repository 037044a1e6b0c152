"""Passages in a SQLite file of their own, found by their words with FTS5.

Everything in it is derived: deleting the file costs only the time to read the memory again.
"""

from __future__ import annotations

import bisect
import json
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from shared_context.retrieval.passages import Passage, document_in
from shared_context.retrieval.question import Question, Term, read
from shared_context.retrieval.scoring import (
    DEFAULT_WEIGHTS,
    PassageTraits,
    Postings,
    Scored,
    Weights,
    joined,
    judged,
    rank,
)
from shared_context.retrieval.segments import asked_part, pairs_in
from shared_context.storage.database import Database

LOOKED_AT = 160
"""The best by words, of which the texts are looked at."""
COMMON = 0.15
"""A word in a larger part of many passages than this says nothing."""
MANY = 200
BEFORE_CHARS = 300
"""Of a message that lends the next one its meaning: as long as the messages of the development sets at most."""


def m001_passages(connection: sqlite3.Connection) -> None:
    for statement in _M001:
        connection.execute(statement)


_M001 = (
    """CREATE TABLE passages (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        source TEXT NOT NULL, item TEXT NOT NULL, part INTEGER NOT NULL,
        thread TEXT NOT NULL, speaker TEXT NOT NULL, at TEXT NOT NULL, text TEXT NOT NULL,
        UNIQUE (source, item, part)
    )""",
    "CREATE INDEX passages_in_order ON passages (thread)",
    """CREATE VIRTUAL TABLE words USING fts5 (
        text, content = 'passages', content_rowid = 'position',
        tokenize = 'porter unicode61 remove_diacritics 2', detail = none, columnsize = 0
    )""",
    """CREATE TRIGGER passages_added AFTER INSERT ON passages BEGIN
        INSERT INTO words (rowid, text) VALUES (new.position, new.text);
    END""",
    """CREATE TRIGGER passages_removed AFTER DELETE ON passages BEGIN
        INSERT INTO words (words, rowid, text) VALUES ('delete', old.position, old.text);
    END""",
    "CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)


def m003_pairs(connection: sqlite3.Connection) -> None:
    """Everything anew: shorter passages, and the pairs of what is written without spaces."""
    for statement in _M003:
        connection.execute(statement)


_M003 = (
    "DROP TABLE words",
    "DROP TABLE passages",
    "DELETE FROM marks",
    "DELETE FROM vectors",
    """CREATE TABLE passages (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        source TEXT NOT NULL, item TEXT NOT NULL, part INTEGER NOT NULL,
        thread TEXT NOT NULL, speaker TEXT NOT NULL, at TEXT NOT NULL,
        text TEXT NOT NULL, pairs TEXT NOT NULL,
        UNIQUE (source, item, part)
    )""",
    "CREATE INDEX passages_in_order ON passages (thread)",
    """CREATE VIRTUAL TABLE words USING fts5 (
        text, pairs, content = 'passages', content_rowid = 'position',
        tokenize = 'porter unicode61 remove_diacritics 2', detail = none, columnsize = 0
    )""",
    """CREATE TRIGGER passages_added AFTER INSERT ON passages BEGIN
        INSERT INTO words (rowid, text, pairs) VALUES (new.position, new.text, new.pairs);
    END""",
    """CREATE TRIGGER passages_removed AFTER DELETE ON passages BEGIN
        INSERT INTO words (words, rowid, text, pairs) VALUES ('delete', old.position, old.text, old.pairs);
        DELETE FROM vectors WHERE position = old.position;
    END""",
)


def m002_vectors(connection: sqlite3.Connection) -> None:
    for statement in _M002:
        connection.execute(statement)


_M002 = (
    "CREATE TABLE vectors (position INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
    """CREATE TRIGGER vectors_removed AFTER DELETE ON passages BEGIN
        DELETE FROM vectors WHERE position = old.position;
    END""",
)


def m004_asked(connection: sqlite3.Connection) -> None:
    """Everything anew: how much of a passage asks."""
    for statement in _M004:
        connection.execute(statement)


_M004 = (
    "DELETE FROM passages",
    "DELETE FROM marks WHERE name <> 'embedder'",
    "ALTER TABLE passages ADD COLUMN asked REAL NOT NULL DEFAULT 0",
)

MIGRATIONS = (m001_passages, m002_vectors, m003_pairs, m004_asked)

EMBEDDER = "embedder"
"""The mark that names whose vectors these are."""


def told(before: str, text: str) -> str:
    """A text with the end of what was said before it."""
    return f"{before[-BEFORE_CHARS:]}\n{text}"


class PassageIndex:
    """Safe to use from any thread.

    Args:
        weights: what the parts of a score count.

    Raises:
        StoreError: as `Database`.
    """

    def __init__(self, path: Path, weights: Weights | None = None) -> None:
        self._database = Database(path, MIGRATIONS, every_commit_durable=False)
        self._weights = weights or DEFAULT_WEIGHTS
        self._lock = threading.RLock()
        self._order: Order | None = None

    def close(self) -> None:
        self._database.close()

    def change(
        self, added: Sequence[Passage], removed: Iterable[tuple[str, str]], marks: dict[str, str]
    ) -> None:
        """Take items `(source, item)` out, put passages in, and note marks, all or nothing."""
        removed = list(removed)
        with self._lock:
            with self._database.write() as connection:
                last = _last_position(connection)
                connection.executemany("DELETE FROM passages WHERE source = ? AND item = ?", removed)
                rows = [
                    (
                        one.source,
                        one.item,
                        one.part,
                        one.thread,
                        one.speaker,
                        one.at,
                        one.text,
                        " ".join(pairs_in(one.text)),
                        asked_part(one.text),
                    )
                    for one in added
                ]
                positions = [_added(connection, row) for row in rows]
                connection.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?)", list(marks.items()))
            if removed or self._order is None or self._order.last != last:
                self._order = None
            else:
                for position, one in zip(positions, added, strict=True):
                    if position is not None:
                        self._order.add(
                            position,
                            one.thread,
                            one.item,
                            one.part,
                            PassageTraits(
                                one.thread, one.speaker, one.at, len(one.text), asked_part(one.text)
                            ),
                        )

    def scrub(self) -> None:
        """See `Database.scrub`."""
        self._database.scrub("words")

    def marks(self) -> dict[str, str]:
        """What `change` noted last."""
        with self._database.read() as connection:
            return dict(connection.execute("SELECT name, value FROM marks").fetchall())

    def items(self, source: str) -> set[str]:
        with self._database.read() as connection:
            return {
                row[0] for row in connection.execute("SELECT item FROM passages WHERE source = ?", (source,))
            }

    def items_of(self, document: str) -> list[tuple[str, str]]:
        """`(source, item)` of everything from the document with this path."""
        with self._database.read() as connection:
            rows = connection.execute(
                """SELECT DISTINCT source, item FROM passages
                WHERE thread >= ?1 || char(10) AND thread < ?1 || char(11) AND speaker = ''""",
                (document,),
            )
            return [(row[0], row[1]) for row in rows]

    def find(
        self,
        question: Question,
        limit: int,
        within: Collection[str] | None = None,
        near: Mapping[int, float] = MappingProxyType({}),
    ) -> list[tuple[Passage, Scored]]:
        """The passages that fit best, best first; copies of one text once.

        Args:
            within: paths of the documents to look in, besides all messages; None: all.
            near: how far passages stand out by their meaning, see `Vectors.nearest`.

        Costs are bounded by the words looked up and by how common these are, not by the size
        of the memory.
        """
        with self._lock, self._database.read() as connection:
            order = self._read_order(connection)
            wanted = read(question)
            allowed = None if within is None or order.documents <= {*within, ""} else {*within, ""}
            postings = [
                order.within(_postings(connection, term, order.count), allowed) for term in wanted.terms
            ]
            most = max(limit, LOOKED_AT)
            by_words = rank(wanted, postings, order, self._weights, most)
            best = joined(by_words, order.within(near, allowed), wanted, order, self._weights, most)
            passages = _passages(connection, [one.position for one in best])
        texts = {position: passage.text for position, passage in passages.items()}
        fitting: list[tuple[Passage, Scored]] = []
        seen: set[str] = set()
        for one in judged(best, texts, wanted, self._weights):
            passage = passages[one.position]
            plain = " ".join(passage.text.lower().split())
            if plain not in seen:
                seen.add(plain)
                fitting.append((passage, one))
        return fitting[:limit]

    def passages(self, positions: Sequence[int]) -> dict[int, Passage]:
        """Those that are still there."""
        with self._database.read() as connection:
            return _passages(connection, positions)

    def keep_vectors_of(self, embedder: str) -> None:
        """Forget the vectors of any other embedder."""
        if self.marks().get(EMBEDDER) != embedder:
            with self._lock, self._database.write() as connection:
                connection.execute("DELETE FROM vectors")
                connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (EMBEDDER, embedder))

    def vectors(self) -> Iterator[tuple[int, bytes]]:
        """By position, oldest first; one after the other, for all at once would stay in the process's memory."""
        with self._database.read() as connection:
            yield from connection.execute("SELECT position, vector FROM vectors ORDER BY position")

    def counts(self) -> tuple[int, int]:
        """Passages, and those of them that have a vector."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM passages), (SELECT count(*) FROM vectors)"
            ).fetchone()
            return int(row[0]), int(row[1])

    def without_vector(
        self, limit: int, but: Collection[int] = (), *, with_before: bool = True
    ) -> list[tuple[int, str]]:
        """Passages that have none, newest first, `but` these: position, and what tells the meaning:
        `with_before` a message behind the end of the one before it, for "On Friday." says little alone."""
        with self._lock, self._database.read() as connection:
            order = self._read_order(connection)
            rows = connection.execute(
                """SELECT position, text, speaker FROM passages
                WHERE position NOT IN (SELECT position FROM vectors)
                AND position NOT IN (SELECT value FROM json_each(?)) ORDER BY position DESC LIMIT ?""",
                (json.dumps(list(but)), limit),
            ).fetchall()
            before = {at: order.before(at) or 0 for at, _, speaker in rows if speaker and with_before}
            texts = _passages(connection, list(before.values()))
        earlier_passages = {at: texts.get(earlier) for at, earlier in before.items()}
        return [
            (at, text if (earlier := earlier_passages.get(at)) is None else told(earlier.text, text))
            for at, text, _ in rows
        ]

    def put_vectors(self, rows: Sequence[tuple[int, bytes]]) -> None:
        """Of passages that are still there."""
        with self._lock, self._database.write() as connection:
            connection.executemany(
                """INSERT OR REPLACE INTO vectors SELECT ?1, ?2
                WHERE EXISTS (SELECT 1 FROM passages WHERE position = ?1)""",
                rows,
            )

    def before(self, passage: Passage) -> str:
        """The text that stands before it in its thread, "" when it is the first."""
        with self._lock, self._database.read() as connection:
            order = self._read_order(connection)
            row = connection.execute(
                "SELECT position FROM passages WHERE (source, item, part) = (?, ?, ?)",
                (passage.source, passage.item, passage.part),
            ).fetchone()
            position = None if row is None else order.before(row[0])
            if position is None:
                return ""
            previous = _passages(connection, [position]).get(position)
            return "" if previous is None else previous.text

    def _read_order(self, connection: sqlite3.Connection) -> Order:
        """The order, read again when another process put something in."""
        last = _last_position(connection)
        if self._order is None or self._order.last != last:
            self._order = Order.of(connection, last)
        return self._order


class Order:
    """Which passage follows which: a few numbers per passage, kept in memory."""

    def __init__(self) -> None:
        self._keys: dict[str, list[tuple[str, str, int, int]]] = {}
        self._threads: dict[str, list[int]] = {}
        self._traits: dict[int, PassageTraits] = {}
        self._ranks: dict[int, int] = {}
        self._length = 0
        self.documents: set[str] = set()
        """Paths of those that passages are from; "" for messages."""
        self.last = 0

    @classmethod
    def of(cls, connection: sqlite3.Connection, last: int) -> Order:
        """All passages; `last` is the highest position ever given."""
        order = cls()
        rows = connection.execute(
            """SELECT position, thread, item, part, speaker, at, length(text), asked FROM passages
            ORDER BY position"""
        )
        for position, thread, item, part, *traits in rows:
            order.add(position, thread, item, part, PassageTraits(thread, *traits))
        order.last = last
        return order

    def add(self, position: int, thread: str, item: str, part: int, traits: PassageTraits) -> None:
        # Sections of a document stand in the order they were put in, whatever their dates.
        key = (traits.at, item, part, position) if traits.speaker else ("", "", 0, position)
        keys = self._keys.setdefault(thread, [])
        members = self._threads.setdefault(thread, [])
        rank_here = bisect.bisect_left(keys, key)
        keys.insert(rank_here, key)
        members.insert(rank_here, position)
        for later in range(rank_here, len(members)):
            self._ranks[members[later]] = later
        self._traits[position] = traits
        self.documents.add(document_in(thread, traits.speaker))
        self._length += traits.length
        self.last = max(self.last, position)

    @property
    def count(self) -> int:
        return len(self._traits)

    @property
    def mean_length(self) -> float:
        return self._length / max(1, len(self._traits))

    def traits(self, position: int) -> PassageTraits:
        return self._traits[position]

    def members(self, thread: str) -> Sequence[int]:
        return self._threads[thread]

    def within(self, postings: Postings, documents: Collection[str] | None) -> Postings:
        """Those of the passages that are there and from one of these documents; None: from any."""
        known = self._traits
        return {
            position: sureness
            for position, sureness in postings.items()
            if (traits := known.get(position))
            and (documents is None or document_in(traits.thread, traits.speaker) in documents)
        }

    def rank(self, position: int) -> int:
        return self._ranks[position]

    def before(self, position: int) -> int | None:
        traits = self._traits.get(position)
        at = self._ranks[position] if traits else 0
        return self._threads[traits.thread][at - 1] if traits and at else None


def _last_position(connection: sqlite3.Connection) -> int:
    """The highest position ever given."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'passages'").fetchone()
    return 0 if row is None else int(row[0])


def _added(connection: sqlite3.Connection, row: tuple[str | float, ...]) -> int | None:
    done = connection.execute(
        """INSERT OR IGNORE INTO passages (source, item, part, thread, speaker, at, text, pairs, asked)
        VALUES (?,?,?,?,?,?,?,?,?)""",
        row,
    )
    return done.lastrowid if done.rowcount else None


def _postings(connection: sqlite3.Connection, term: Term, count: int) -> Postings:
    most = max(MANY, int(count * COMMON))
    rows = connection.execute(
        "SELECT rowid FROM words WHERE words MATCH ? LIMIT ?", (f'"{term.word}"', most + 1)
    ).fetchall()
    return {} if len(rows) > most else {row[0]: 1.0 for row in rows}


def _passages(connection: sqlite3.Connection, positions: Sequence[int]) -> dict[int, Passage]:
    rows = connection.execute(
        """SELECT position, source, item, part, thread, speaker, at, text FROM passages
        WHERE position IN (SELECT value FROM json_each(?))""",
        (json.dumps(list(positions)),),
    )
    return {row[0]: Passage(*row[1:]) for row in rows}
