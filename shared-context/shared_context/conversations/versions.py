"""Several answers to one question: which of them is *the* answer, and where it stands.

A message may say that it `supersedes` another one. Answers joined in this way, and the other
answers to the same question as such a one, are versions of one answer, in one conversation. One of them is shown: the one that none of the others
supersedes; of several, as after answering on two tiers at once, the latest. The others are kept
and left out of the history. An answer stands where the earliest of its versions stands, so that
a better one that came days later still follows its question.

All of this is a function of the messages alone, so replicas with the same messages agree,
whatever the order in which they came. What was named and is not there (yet) joins versions as well.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared_context.conversations.messages import Message, message_of


@dataclass(frozen=True, slots=True)
class AnswerVersion:
    message_id: str
    created_at: str
    supersedes: str | None


@dataclass(frozen=True, slots=True)
class Arrangement:
    """
    Args:
        shown: message_id of the version that is the answer.
        place: the time that says where in the conversation it stands.
    """

    shown: str
    place: str


def arrange(versions: Sequence[AnswerVersion]) -> Arrangement:
    """Which of the versions of one answer is shown. There is at least one."""
    superseded = {version.supersedes for version in versions if version.supersedes != version.message_id}
    latest = [version for version in versions if version.message_id not in superseded]
    # Versions that supersede each other in a circle were not written by this program.
    shown = max(latest or versions, key=lambda version: (version.created_at, version.message_id))
    return Arrangement(shown.message_id, min(version.created_at for version in versions))


def regroup(
    connection: sqlite3.Connection,
    conversation_id: str,
    message_id: str,
    supersedes: str | None,
    reply_to: str | None,
) -> None:
    """Work out anew what belongs together with this message, which came, or went, just now."""
    seen: set[str] = set()
    others = [row["message_id"] for row in connection.execute(_REPLIES, (conversation_id, reply_to))]
    for joined_id in (message_id, supersedes, *others):
        if joined_id is not None and joined_id not in seen:
            ids, versions = _joined(connection, conversation_id, joined_id)
            seen |= ids
            if versions:
                _write(connection, versions)


def versions_in(connection: sqlite3.Connection, conversation_id: str) -> dict[str, list[Message]]:
    """The versions that are not shown, by the message_id of the one that is; oldest first."""
    hidden: dict[str, list[Message]] = defaultdict(list)
    for row in connection.execute(_HIDDEN, (conversation_id,)):
        fields = dict(row)
        hidden[fields.pop("superseded_by")].append(message_of(fields))
    return dict(hidden)


def hidden_among(connection: sqlite3.Connection, message_ids: Iterable[str]) -> set[str]:
    """Those of the messages that are versions of an answer and not shown."""
    query = "SELECT 1 FROM messages WHERE message_id = ? AND superseded_by IS NOT NULL"
    return {
        message_id
        for message_id in message_ids
        if connection.execute(query, (message_id,)).fetchone() is not None
    }


def _joined(
    connection: sqlite3.Connection, conversation_id: str, message_id: str
) -> tuple[set[str], list[AnswerVersion]]:
    """All ids that a message is joined with, also through messages that are not there; and the
    messages among them that are."""
    ids, versions = {message_id}, {}
    waiting = [message_id]
    while waiting:
        joined_id = waiting.pop()
        for row in connection.execute(_NEIGHBOURS, (conversation_id, joined_id)):
            version = AnswerVersion(row["message_id"], row["created_at"], row["supersedes"])
            versions[version.message_id] = version
            new = {version.message_id, version.supersedes or version.message_id}
            new |= _beside(connection, conversation_id, row["reply_to"])
            waiting += new - ids
            ids |= new
    return ids, list(versions.values())


def _beside(connection: sqlite3.Connection, conversation_id: str, reply_to: str | None) -> set[str]:
    """The answers to the same question, if any of them is there in the place of another."""
    rows = connection.execute(_REPLIES, (conversation_id, reply_to)).fetchall()
    joined = any(row["supersedes"] is not None for row in rows)
    return {row["message_id"] for row in rows} if joined else set()


def _write(connection: sqlite3.Connection, versions: Sequence[AnswerVersion]) -> None:
    arrangement = arrange(versions)
    for version in versions:
        by = None if version.message_id == arrangement.shown else arrangement.shown
        connection.execute(_ARRANGE, (by, arrangement.place, version.message_id))


_NEIGHBOURS = """SELECT message_id, created_at, supersedes, reply_to FROM messages
    WHERE message_id = ?2 AND conversation_id = ?1 AND role = 'assistant'
    UNION SELECT message_id, created_at, supersedes, reply_to FROM messages
    WHERE supersedes = ?2 AND conversation_id = ?1 AND role = 'assistant'"""
"""Only answers have versions: nothing can make a person's words disappear from the history."""
_REPLIES = """SELECT message_id, supersedes FROM messages
    WHERE reply_to = ?2 AND conversation_id = ?1 AND role = 'assistant'"""
_ARRANGE = "UPDATE messages SET superseded_by = ?, place = ? WHERE message_id = ?"
_HIDDEN = """SELECT v.*, m.superseded_by FROM message_view AS v JOIN messages AS m USING (message_id)
    WHERE m.conversation_id = ? AND m.superseded_by IS NOT NULL ORDER BY m.created_at, m.message_id"""
