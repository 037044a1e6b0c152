"""What receipts of answers quote of other messages: it goes when the message is deleted.

An answer's receipt lists what was recalled for it (`retrieved`), with the text as the model read it.
How much of it is left follows from receipts and deletions alone, so replicas that have both agree,
whichever came first.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from shared_context.conversations.messages import whole_characters

Receipt = dict[str, Any]


def quoted_in(receipt: Receipt) -> Iterator[str]:
    """Ids of the messages it quotes."""
    return (whole_characters(use["id"]) for use in _uses(receipt) if _quotes_message(use))


def without(receipt: Receipt, message_ids: Collection[str]) -> Receipt:
    """The receipt with no words of these messages; that they were recalled stays told."""
    uses = [
        {**use, "text": ""} if _quotes_message(use) and whole_characters(use["id"]) in message_ids else use
        for use in _uses(receipt)
    ]
    return {**receipt, "retrieved": uses}


def note(connection: sqlite3.Connection, message_id: str, receipt: Receipt) -> Receipt:
    """Note what this message, which is about to be stored, quotes; returns its receipt without the
    words of what is deleted already."""
    quoted = set(quoted_in(receipt))
    gone = {quote for quote in quoted if connection.execute(_BURIED, (quote,)).fetchone() is not None}
    connection.executemany(_NOTE, [(message_id, quote) for quote in sorted(quoted - gone)])
    return without(receipt, gone) if gone else receipt


def forget(connection: sqlite3.Connection, message_ids: Iterable[str]) -> None:
    """These messages were deleted: take their words out of all receipts."""
    for message_id in message_ids:
        for row in connection.execute(_QUOTING, (message_id,)).fetchall():
            receipt = without(json.loads(row["receipt"]), (message_id,))
            connection.execute(_WRITE, (json.dumps(receipt), row["message_id"]))
        connection.execute(_FORGET, (message_id,))


def forget_deleted_of(connection: sqlite3.Connection, conversation_id: str) -> None:
    """`forget` for what was deleted of a conversation."""
    forget(connection, [row["quoted"] for row in connection.execute(_DELETED_OF, (conversation_id,))])


def _uses(receipt: Receipt) -> list[Any]:
    # Receipts come from other replicas and programs too, and may hold anything.
    uses = receipt.get("retrieved")
    return uses if isinstance(uses, list) else []


def _quotes_message(use: Any) -> bool:
    return isinstance(use, dict) and use.get("source") == "message" and isinstance(use.get("id"), str)


_BURIED = "SELECT 1 FROM tombstones WHERE message_id = ?"
_NOTE = "INSERT OR IGNORE INTO quotations (quoting, quoted) VALUES (?, ?)"
_QUOTING = """SELECT m.message_id, m.receipt FROM quotations AS q JOIN messages AS m ON m.message_id = q.quoting
    WHERE q.quoted = ?"""
_WRITE = "UPDATE messages SET receipt = ? WHERE message_id = ?"
_FORGET = "DELETE FROM quotations WHERE quoted = ?"
_DELETED_OF = """SELECT DISTINCT quoted FROM quotations
    WHERE quoted IN (SELECT message_id FROM tombstones WHERE conversation_id = ?)"""
