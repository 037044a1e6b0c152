"""What was handed off of each conversation, and summaries of what left a prompt's window.

Kept beside the messages, for this replica only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared_context.storage.database import Database
from shared_context.storage.identity import now

SUMMARIES_KEPT = 8
"""Per conversation. A long message or another window may go back to an older one for a turn."""


@dataclass(frozen=True, slots=True)
class Handoff:
    """A session whose end the owner confirmed.

    Args:
        log_version: of SESSION_LOG.md with its entry; None: no entry was wanted.
        briefing_version: of SESSION_BRIEFING.md as confirmed; None: it was left as it was.
    """

    entry_id: str
    conversation_id: str
    log_version: str | None
    briefing_version: str | None
    confirmed_at: str


class HandoffMarks:
    """Which messages are covered by a confirmed handoff. Safe to use from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, entry_id: str) -> Handoff | None:
        with self._database.read() as connection:
            row = connection.execute(_HANDOFF, (entry_id,)).fetchone()
            return None if row is None else Handoff(**dict(row))

    def covered(self, conversation_id: str) -> dict[str, str]:
        """Ids of its messages that were handed off, with the entry each is in."""
        with self._database.read() as connection:
            return {row["message_id"]: row["entry_id"] for row in connection.execute(_OF, (conversation_id,))}

    def record(
        self,
        entry_id: str,
        conversation_id: str,
        message_ids: Iterable[str],
        *,
        log_version: str | None,
        briefing_version: str | None,
    ) -> Handoff:
        """Mark these messages; committed when this returns. The first record of an entry stays."""
        fields = (entry_id, conversation_id, log_version, briefing_version, now())
        with self._database.write() as connection:
            connection.execute("INSERT OR IGNORE INTO handoffs VALUES (?, ?, ?, ?, ?)", fields)
            rows = ((message_id, conversation_id, entry_id) for message_id in message_ids)
            connection.executemany("INSERT OR IGNORE INTO handed_off VALUES (?, ?, ?)", rows)
            return Handoff(**dict(connection.execute(_HANDOFF, (entry_id,)).fetchone()))


class SummaryStore:
    """Summaries that were made once and need not be made again. Safe to use from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, conversation_id: str, made_from: str) -> str | None:
        with self._database.read() as connection:
            row = connection.execute(_SUMMARY, (conversation_id, made_from)).fetchone()
            return None if row is None else str(row["text"])

    def put(self, conversation_id: str, made_from: str, text: str, last_message_id: str) -> None:
        """Keep it, and of older ones the newest. Nothing is kept when the last message it was made
        from is gone: somebody deleted it meanwhile."""
        with self._database.write() as connection:
            there = connection.execute(_THERE, (last_message_id, conversation_id)).fetchone()
            if there is not None:
                connection.execute(_KEEP, (conversation_id, made_from, text, now()))
                connection.execute(_FORGET, (conversation_id, conversation_id, SUMMARIES_KEPT))


_HANDOFF = "SELECT * FROM handoffs WHERE entry_id = ?"
_OF = "SELECT message_id, entry_id FROM handed_off WHERE conversation_id = ?"
_SUMMARY = "SELECT text FROM summaries WHERE conversation_id = ? AND made_from = ?"
_THERE = "SELECT 1 FROM messages WHERE message_id = ? AND conversation_id = ?"
_KEEP = """INSERT OR REPLACE INTO summaries (conversation_id, made_from, text, made_at)
    VALUES (?, ?, ?, ?)"""
_FORGET = """DELETE FROM summaries WHERE conversation_id = ? AND made_from NOT IN (
    SELECT made_from FROM summaries WHERE conversation_id = ? ORDER BY made_at DESC LIMIT ?)"""
