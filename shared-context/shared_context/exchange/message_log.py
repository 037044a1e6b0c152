"""The log of a conversation store, as replicas pass it on: what somebody lacks, in pages, and taking
in what others wrote.

Of several records for the same thing one wins on every replica: the earliest message or deletion of
an id, the latest title or state of a conversation. A record that lost leaves a gap in its writer's
log, which means nothing: a span says how far it reaches.
"""

from __future__ import annotations

import heapq
import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from shared_context.conversations import origins, quotations
from shared_context.conversations.messages import Message
from shared_context.conversations.rows import Register, ensure_row, refresh, set_register
from shared_context.conversations.store import ConversationStore, insert_message
from shared_context.conversations.versions import regroup
from shared_context.exchange.wire import (
    DeletionRecord,
    DeviceRecord,
    MessageRecord,
    Record,
    Span,
    StateRecord,
    TitleRecord,
)
from shared_context.storage.clock import time_of

log = logging.getLogger(__name__)

JsonObject = dict[str, Any]


@dataclass(slots=True)
class Received:
    """What taking in some spans did.

    Args:
        records: new ones, whether or not they won.
        conversations: ids of those that may look different now.
        gaps: origins whose spans begin after what is here; a page before them was lost.
    """

    records: int = 0
    conversations: set[str] = field(default_factory=set)
    gaps: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Page:
    spans: list[JsonObject]
    more: bool


class MessageLog:
    """The log of one store. Safe to use from any thread."""

    def __init__(self, store: ConversationStore) -> None:
        self._store = store

    def vector(self) -> dict[str, int]:
        """What this replica has."""
        with self._store.database.read() as connection:
            return origins.vector(connection)

    def since(self, have: origins.Vector, *, max_records: int = 500, max_bytes: int = 512 * 1024) -> Page:
        """What somebody who has this lacks, at most so much of it, but at least one record.

        Each writer's log goes on where `have` ends, so a page can be lost or sent twice.
        """
        spans: list[JsonObject] = []
        with self._store.database.read() as connection:
            for origin in origins.origins_ahead_of(connection, have):
                if max_records <= 0 or max_bytes <= 0:
                    return Page(spans, True)
                span = _span(connection, origin, have.get(origin.origin, 0), max_records, max_bytes)
                spans.append(span.content)
                if span.more:
                    return Page(spans, True)
                max_records -= len(span.content["records"])
                max_bytes -= span.size
        return Page(spans, False)

    def receive(self, spans: Iterable[Span]) -> Received:
        """Take in what another replica sent: all of it or, on an error, nothing.

        Taking it in again changes nothing, in any order.

        Raises:
            StoreError.
        """
        received = Received()
        with self._store.database.write() as connection:
            have = origins.vector(connection)
            for span in spans:
                if self._is_mine(connection, span, have):
                    continue
                there = have.get(span.origin, 0)
                if span.after > there:
                    received.gaps.add(span.origin)
                elif span.upto > there:
                    self._take_in(connection, span, there, received)
                    have[span.origin] = span.upto
            for conversation_id in received.conversations:
                refresh(connection, conversation_id)
        return received

    def _take_in(self, connection: sqlite3.Connection, span: Span, there: int, received: Received) -> None:
        if span.replica == origins.replica_id(connection):
            self._notice_clone(connection)
        for record in span.records:
            if record.sequence > there:
                received.records += 1
                received.conversations |= self._apply(connection, span.origin, record)
        origins.advance(connection, origins.Origin(span.origin, span.replica, span.number, span.upto))

    def _apply(self, connection: sqlite3.Connection, origin: str, record: Record) -> set[str]:
        """Returns the conversations it touches."""
        match record:
            case MessageRecord():
                return _apply_message(connection, origin, record)
            case DeletionRecord():
                return _apply_deletion(connection, origin, record)
            case DeviceRecord():
                self._store.clock.observe(record.stamp)
                new = Register(record.value, record.stamp)
                set_register(connection, record.device_id, record.field, new, origin, record.sequence)
                return set()
            case TitleRecord():
                name, value = "title", record.title
            case StateRecord():
                name, value = "state", record.created_at
        self._store.clock.observe(record.stamp)
        ensure_row(connection, record.conversation_id, time_of(record.stamp))
        new = Register(value, record.stamp)
        set_register(connection, record.conversation_id, name, new, origin, record.sequence)
        return {record.conversation_id}

    def _is_mine(self, connection: sqlite3.Connection, span: Span, have: origins.Vector) -> bool:
        """Whether this very process wrote it. What it wrote it has, so there is nothing to take in."""
        if span.origin != self._store.writer.origin:
            return False
        if span.upto <= have.get(span.origin, 0):
            return True
        # Only a copy of this process's memory can have written on under its id.
        self._store.writer.renew()
        self._notice_clone(connection)
        return False

    def _notice_clone(self, connection: sqlite3.Connection) -> None:
        """Something new by a writer of this replica's own id comes from another copy of the file, or
        from this one before it was put back from a backup."""
        old, new = origins.take_new_replica_id(connection)
        log.warning("Another copy of this memory uses the replica id %s; this one is %s now.", old, new)


@dataclass(frozen=True, slots=True)
class _Cut:
    content: JsonObject
    size: int
    more: bool


def _span(
    connection: sqlite3.Connection, origin: origins.Origin, after: int, max_records: int, max_bytes: int
) -> _Cut:
    records: list[JsonObject] = []
    size, upto = 0, origin.sequence
    for record in heapq.merge(*_records(connection, origin.origin, after), key=_sequence):
        size += len(json.dumps(record))
        if records and (size > max_bytes or len(records) == max_records):
            upto = records[-1]["sequence"]
            break
        records.append(record)
    content = {
        "origin": origin.origin,
        "replica": origin.replica_id,
        "number": origin.number,
        "after": after,
        "upto": upto,
        "records": records,
    }
    return _Cut(content, size, upto < origin.sequence)


def _records(connection: sqlite3.Connection, origin: str, after: int) -> list[Iterator[JsonObject]]:
    """The records of each table in order, read as far as they are asked for."""
    kinds = ((_MESSAGES, _message_record), (_DELETIONS, _deletion_record), (_REGISTERS, _register_record))
    return [map(record_of, connection.execute(query, (origin, after))) for query, record_of in kinds]


def _message_record(row: sqlite3.Row) -> JsonObject:
    record = {name: value for name, value in dict(row).items() if value is not None}
    if "receipt" in record:
        record["receipt"] = json.loads(record["receipt"])
    return {"kind": "message", **record}


def _deletion_record(row: sqlite3.Row) -> JsonObject:
    return {"kind": "deletion", **dict(row)}


def _register_record(row: sqlite3.Row) -> JsonObject:
    fields = dict(row)
    name, value = fields.pop("field"), fields.pop("value")
    if name not in ("title", "state"):
        device_id = fields.pop("conversation_id")
        return {"kind": "device", **fields, "device_id": device_id, "field": name, "value": value}
    return {"kind": name, **fields, "title" if name == "title" else "created_at": value}


def _sequence(record: JsonObject) -> int:
    return int(record["sequence"])


def _apply_message(connection: sqlite3.Connection, origin: str, record: MessageRecord) -> set[str]:
    if connection.execute(_BURIED, (record.message_id,)).fetchone() is not None:
        return set()
    touched = {record.conversation_id}
    there = connection.execute(_THERE, (record.message_id,)).fetchone()
    if there is not None:
        if tuple(there) <= (record.created_at, origin, record.sequence):
            return set()
        touched |= _remove(connection, record.message_id)
    ensure_row(connection, record.conversation_id, record.created_at)
    message = Message(**record.model_dump(exclude={"kind", "sequence"}))
    insert_message(connection, message, origin, record.sequence)
    return touched


def _apply_deletion(connection: sqlite3.Connection, origin: str, record: DeletionRecord) -> set[str]:
    there = connection.execute(_TOMBSTONE, (record.message_id,)).fetchone()
    touched = {record.conversation_id}
    if there is not None:
        if tuple(there)[1:] <= (record.deleted_at, origin, record.sequence):
            return set()
        touched.add(there["conversation_id"])
    fields = (record.message_id, record.conversation_id, record.deleted_at, origin, record.sequence)
    connection.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?, ?)", fields)
    touched |= _remove(connection, record.message_id)
    quotations.forget(connection, [record.message_id])
    return touched


def _remove(connection: sqlite3.Connection, message_id: str) -> set[str]:
    """Take a message out; returns the conversation it was in."""
    removed = connection.execute(_REMOVE, (message_id,)).fetchall()
    for row in removed:
        regroup(connection, row["conversation_id"], message_id, row["supersedes"], row["reply_to"])
    return {row["conversation_id"] for row in removed}


_MESSAGES = """SELECT sequence, message_id, conversation_id, role, content, created_at, tier, model, run_id,
        reply_to, receipt, supersedes
    FROM messages WHERE origin = ? AND sequence > ? ORDER BY sequence"""
_DELETIONS = """SELECT sequence, message_id, conversation_id, deleted_at
    FROM tombstones WHERE origin = ? AND sequence > ? ORDER BY sequence"""
_REGISTERS = """SELECT sequence, conversation_id, field, value, stamp
    FROM registers WHERE origin = ? AND sequence > ? ORDER BY sequence"""
_BURIED = "SELECT 1 FROM tombstones WHERE message_id = ?"
_THERE = "SELECT created_at, origin, sequence FROM messages WHERE message_id = ?"
_TOMBSTONE = "SELECT conversation_id, deleted_at, origin, sequence FROM tombstones WHERE message_id = ?"
_REMOVE = "DELETE FROM messages WHERE message_id = ? RETURNING conversation_id, supersedes, reply_to"
