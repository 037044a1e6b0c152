"""Conversations and their messages: a grow-only set that can only be added to or deleted from."""

from __future__ import annotations

import builtins
import json
import sqlite3
from dataclasses import fields
from pathlib import Path
from typing import Self, Unpack

from shared_context.conversations import origins, quotations, versions
from shared_context.conversations.messages import (
    ROLES,
    Conversation,
    Message,
    MessageOrigin,
    SearchHit,
    conversation_of,
    message_of,
    whole_characters,
)
from shared_context.conversations.migrations import DEFAULT_CONVERSATION, MIGRATIONS
from shared_context.conversations.rows import Register, ensure_row, refresh, register, set_register
from shared_context.conversations.search import matching_titles, search_messages
from shared_context.errors import ConversationNotFound, InvalidConversation
from shared_context.storage.clock import Clock
from shared_context.storage.database import Database
from shared_context.storage.identity import in_utc, just_after, new_id, now

MAX_ID_CHARS = 200
MAX_TITLE_CHARS = 200


class ConversationStore:
    """All conversations of one replica. Safe to use from any thread.

    The conversation "default" always exists. Errors of the file itself are `StoreError`s.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.writer = origins.Writer()
        self.clock = Clock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """The store in this file, which is created or migrated as needed."""
        return cls(Database(path, MIGRATIONS))

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def database(self) -> Database:
        return self._database

    @property
    def replica_id(self) -> str:
        """This copy's id among all tiers; another one after a clone of the file was noticed."""
        with self._database.read() as connection:
            return origins.replica_id(connection)

    def create(
        self, conversation_id: str | None = None, title: str | None = None, *, created_at: str | None = None
    ) -> Conversation:
        """A new conversation; an existing one of this id is returned as it is.

        A deleted id starts again, empty.

        Args:
            created_at: when it was begun elsewhere; default: now.

        Raises:
            InvalidConversation: the id or title is empty, too long or has control characters.
        """
        conversation_id = new_id() if conversation_id is None else conversation_id
        _check_name(conversation_id, "conversation id", MAX_ID_CHARS)
        if title is not None:
            title = _clean_title(title)
        moment = created_at or now()
        with self._database.write() as connection:
            if not _is_there(connection, conversation_id):
                ensure_row(connection, conversation_id, moment)
                self.set_register(connection, conversation_id, "state", moment)
                if title is not None or register(connection, conversation_id, "title") is not None:
                    self.set_register(connection, conversation_id, "title", title)
                refresh(connection, conversation_id)
            return _conversation(connection, conversation_id)

    def get(self, conversation_id: str) -> Conversation:
        """Raises ConversationNotFound."""
        with self._database.read() as connection:
            return _conversation(connection, conversation_id)

    def begun_here(self, conversation_id: str) -> bool:
        """Whether it was created by this process: others may not know it before the next exchange."""
        with self._database.read() as connection:
            return connection.execute(_BEGUN, (conversation_id, self.writer.origin)).fetchone() is not None

    def list(self, limit: int = 50, before: str | None = None, *, empty: bool = False) -> list[Conversation]:
        """The conversations with the latest message first.

        Args:
            limit: how many at most.
            before: `Conversation.cursor` of the last one already seen, or its conversation_id; the page
                after it is returned. A cursor stays where it is when that conversation goes on.
            empty: also those in which nothing was said and to which nobody gave a title.

        Raises:
            ConversationNotFound: `before` is unknown.
        """
        with self._database.read() as connection:
            place = _END if before is None else _place(connection, whole_characters(before))
            rows = connection.execute(_LIST, (*place, empty, limit))
            return [conversation_of(row) for row in rows]

    def rename(self, conversation_id: str, title: str) -> Conversation:
        """Give it a title of a person's choice; the last rename wins.

        Raises:
            ConversationNotFound, InvalidConversation.
        """
        title = _clean_title(title)
        with self._database.write() as connection:
            _conversation(connection, conversation_id)
            self.set_register(connection, conversation_id, "title", title)
            refresh(connection, conversation_id)
            return _conversation(connection, conversation_id)

    def delete(self, conversation_id: str) -> None:
        """Delete it with all its messages and its title; "default" itself stays.

        Raises:
            ConversationNotFound.
        """
        with self._database.write() as connection:
            self.clear(conversation_id)
            if register(connection, conversation_id, "title") is not None:
                self.set_register(connection, conversation_id, "title", None)
            if conversation_id != DEFAULT_CONVERSATION:
                self.set_register(connection, conversation_id, "state", None)
            refresh(connection, conversation_id)

    def delete_message(self, message_id: str) -> builtins.list[str]:
        """Delete a message and the answers to it; their ids stay known, so that no copy of them comes back.

        Returns:
            The ids of what was deleted; none where there is no such message.
        """
        with self._database.write() as connection:
            message = _message(connection, message_id)
            if message is None:
                return []
            ids = [row[0] for row in connection.execute(_WITH_ANSWERS, (message.message_id,))]
            before = self.writer.take(connection, len(ids)) - len(ids)
            for place, each in enumerate(ids, 1):
                values = (each, message.conversation_id, now(), self.writer.origin, before + place)
                connection.execute(_BURY_ONE, values)
                connection.execute("DELETE FROM messages WHERE message_id = ?", (each,))
            quotations.forget(connection, ids)
            refresh(connection, message.conversation_id)
            return ids

    def clear(self, conversation_id: str) -> None:
        """Delete its messages, and what receipts of answers elsewhere quote of them; their ids stay
        known, so that no copy of them comes back.

        Raises:
            ConversationNotFound.
        """
        with self._database.write() as connection:
            _conversation(connection, conversation_id)
            count = connection.execute(_COUNT, (conversation_id,)).fetchone()[0]
            if count:
                before = self.writer.take(connection, count) - count
                connection.execute(_BURY, (conversation_id, now(), self.writer.origin, before))
                connection.execute("DELETE FROM messages WHERE conversation_id = ?", (conversation_id,))
                quotations.forget_deleted_of(connection, conversation_id)
                refresh(connection, conversation_id)

    def add_message(
        self,
        conversation_id: str,
        role: str,
        content: str,
        *,
        message_id: str | None = None,
        created_at: str | None = None,
        **origin: Unpack[MessageOrigin],
    ) -> Message:
        """Store a message; committed when this returns.

        Idempotent by `message_id`: the first one stored stays and is returned. One that was
        deleted since stays deleted. Lone surrogates in the text become U+FFFD.

        Args:
            message_id: by default a new one.
            created_at: only for imports; by default now, or just after the conversation's
                last message when this machine's clock is behind it.
            origin: what else a `Message` says of itself. An answer that `supersedes` another one, here or
                not here (yet), becomes another version of it, out of the history.

        Raises:
            ConversationNotFound, InvalidConversation (unknown role, not a moment as `identity.now`
                writes it).
        """
        if role not in ROLES:
            raise InvalidConversation(f"{role!r} is not a role.", f"Use one of: {', '.join(sorted(ROLES))}.")
        if created_at is not None and not _is_moment(created_at):
            raise InvalidConversation(
                f"{created_at[:50]!r} is no moment.", "See shared_context.storage.identity.in_utc."
            )
        content = whole_characters(content)
        message_id = new_id() if message_id is None else message_id
        _check_name(message_id, "message id", MAX_ID_CHARS)
        if (supersedes := origin.get("supersedes")) is not None:
            _check_name(supersedes, "message id", MAX_ID_CHARS)
        with self._database.write() as connection:
            stored = _message(connection, message_id)
            if stored is not None:
                return stored
            _conversation(connection, conversation_id)
            moment = created_at or _next_moment(connection, conversation_id)
            message = Message(message_id, conversation_id, role, content, moment, **origin)
            if not _is_buried(connection, message_id):
                insert_message(connection, message, self.writer.origin, self.writer.take(connection))
                refresh(connection, conversation_id)
            return message

    def messages(self, conversation_id: str, *, limit: int | None = None) -> builtins.list[Message]:
        """Its messages, oldest first; with `limit` the newest ones of them. Of an answer with
        versions only the one that is shown, in the place of the first.

        Raises:
            ConversationNotFound.
        """
        with self._database.read() as connection:
            _conversation(connection, conversation_id)
            rows = connection.execute(_NEWEST, (conversation_id, -1 if limit is None else limit))
            return [message_of(row) for row in rows][::-1]

    def versions(self, conversation_id: str) -> dict[str, builtins.list[Message]]:
        """The other versions of its answers, by the message_id of the answer; oldest first."""
        with self._database.read() as connection:
            return versions.versions_in(connection, conversation_id)

    def message(self, message_id: str) -> Message | None:
        with self._database.read() as connection:
            return _message(connection, message_id)

    def answer_to(self, message_id: str) -> Message | None:
        """The newest message that replies to this one, as it is shown."""
        with self._database.read() as connection:
            row = connection.execute(_ANSWER, (message_id,)).fetchone()
            return None if row is None else message_of(row)

    def saying(self, role: str, text: str, limit: int = 20) -> builtins.list[Message]:
        """Messages of this text, white space at its ends aside; newest first."""
        with self._database.read() as connection:
            rows = connection.execute(_SAYING, (role, whole_characters(text).strip(), limit)).fetchall()
            return [message_of(row) for row in rows]

    def is_deleted(self, message_id: str) -> bool:
        """Whether a message of this id was stored once and deleted."""
        with self._database.read() as connection:
            return _is_buried(connection, message_id)

    def count_deleted(self) -> int:
        """How many messages, conversations and titles were ever deleted."""
        with self._database.read() as connection:
            return int(connection.execute(_DELETED).fetchone()[0])

    def scrub(self) -> None:
        """Nothing of the messages and titles deleted so far is left in the file; see `Database.scrub`."""
        self._database.scrub("messages_fts")

    def titled(self, query: str, limit: int = 20) -> builtins.list[Conversation]:
        """Conversations whose title has all words of `query`, whatever their case and accents; the latest first."""
        with self._database.read() as connection:
            rows = connection.execute(_TITLED)
            return [conversation_of(row) for row in matching_titles(rows, query, limit)]

    def search(self, query: str, limit: int = 20) -> builtins.list[SearchHit]:
        """Messages with all words of `query`, best first. Any text is a valid query."""
        with self._database.read() as connection:
            return search_messages(connection, query, limit)

    def set_register(
        self, connection: sqlite3.Connection, conversation_id: str, field: str, value: str | None
    ) -> None:
        """Say something anew about a conversation (or a device); the latest to say so wins on every replica.

        Args:
            connection: of `database.write()`.
        """
        there = register(connection, conversation_id, field)
        stamp = self.clock.stamp(self.writer.origin, over=there.stamp if there else None)
        sequence = self.writer.take(connection)
        set_register(connection, conversation_id, field, Register(value, stamp), self.writer.origin, sequence)


def insert_message(connection: sqlite3.Connection, message: Message, origin: str, sequence: int) -> None:
    """Write a message's row and arrange it with other versions of the same answer."""
    receipt = message.receipt
    if receipt is not None:
        receipt = quotations.note(connection, message.message_id, receipt)
    packed = None if receipt is None else json.dumps(receipt)
    values = [
        packed if field.name == "receipt" else getattr(message, field.name) for field in fields(Message)
    ]
    connection.execute(_INSERT, (*values, origin, sequence))
    if message.role == "assistant":
        joined = (message.message_id, message.supersedes, message.reply_to)
        versions.regroup(connection, message.conversation_id, *joined)


def is_name(text: str, most: int) -> bool:
    """Whether `text` can be an id or title: not empty, not too long, one printable line."""
    return 0 < len(text) <= most and text.isprintable()


_BEGUN = """SELECT 1 FROM registers
    WHERE conversation_id = ? AND field = 'state' AND value IS NOT NULL AND origin = ?"""
_END = ("\U0010ffff", "")
"""After every moment."""
_COLUMNS = "conversation_id, coalesce(title, auto_title, '') AS title, created_at, updated_at, turn_count"
_LIST = f"""SELECT {_COLUMNS} FROM conversations AS c
    WHERE deleted_at IS NULL AND (updated_at, conversation_id) < (?, ?)
        AND (? OR turn_count > 0 OR title IS NOT NULL
            OR EXISTS (SELECT 1 FROM messages AS m WHERE m.conversation_id = c.conversation_id))
    ORDER BY updated_at DESC, conversation_id DESC LIMIT ?"""  # noqa: S608 -- no input
_TITLED = f"""SELECT {_COLUMNS} FROM conversations WHERE deleted_at IS NULL AND title IS NOT NULL
    ORDER BY updated_at DESC, conversation_id DESC"""  # noqa: S608 -- no input
_NEWEST = """SELECT message_id, conversation_id, role, content, created_at, tier, model, run_id, reply_to,
        receipt, supersedes
    FROM messages WHERE conversation_id = ? AND superseded_by IS NULL
    ORDER BY place DESC, message_id DESC LIMIT ?"""
_ANSWER = """SELECT v.* FROM messages AS m JOIN message_view AS v USING (message_id)
    WHERE m.reply_to = ? AND m.superseded_by IS NULL
    ORDER BY m.created_at DESC, m.message_id DESC LIMIT 1"""
_SAYING = """SELECT v.* FROM messages AS m JOIN message_view AS v USING (message_id)
    WHERE m.role = ?1 AND m.superseded_by IS NULL AND trim(m.content, char(9, 10, 13, 32)) = ?2
        AND substr(trim(m.content, char(9, 10, 13, 32)), 1, 40) = substr(?2, 1, 40)
    ORDER BY m.created_at DESC, m.message_id DESC LIMIT ?3"""
_INSERT = """INSERT INTO messages (message_id, conversation_id, role, content, created_at, tier, model,
        run_id, reply_to, receipt, supersedes, place, origin, sequence)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?5, ?12, ?13)"""
_DELETED = """SELECT (SELECT count(*) FROM tombstones)
    + (SELECT count(*) FROM registers WHERE value IS NULL)"""
_COUNT = "SELECT count(*) FROM messages WHERE conversation_id = ?"
_WITH_ANSWERS = "SELECT message_id FROM messages WHERE message_id = ?1 OR reply_to = ?1 ORDER BY position"
_BURY_ONE = """INSERT INTO tombstones (message_id, conversation_id, deleted_at, origin, sequence)
    VALUES (?, ?, ?, ?, ?)"""
_BURY = """INSERT INTO tombstones (message_id, conversation_id, deleted_at, origin, sequence)
    SELECT message_id, conversation_id, ?2, ?3, ?4 + row_number() OVER (ORDER BY position)
    FROM messages WHERE conversation_id = ?1"""


def _conversation(connection: sqlite3.Connection, conversation_id: str) -> Conversation:
    query = "SELECT * FROM conversation_view WHERE conversation_id = ?"
    row = connection.execute(query, (whole_characters(conversation_id),)).fetchone()
    if row is None:
        raise _not_found(conversation_id)
    return conversation_of(row)


def _place(connection: sqlite3.Connection, before: str) -> tuple[str, str]:
    """The place in the list that a cursor or a conversation_id stands for.

    Raises:
        ConversationNotFound
    """
    moment, _, conversation_id = before.partition(" ")
    if conversation_id and _is_moment(moment):
        return moment, conversation_id
    query = "SELECT updated_at FROM conversations WHERE conversation_id = ?"
    seen = connection.execute(query, (before,)).fetchone()
    if seen is None:
        raise _not_found(before)
    return seen["updated_at"], before


def _is_there(connection: sqlite3.Connection, conversation_id: str) -> bool:
    query = "SELECT 1 FROM conversation_view WHERE conversation_id = ?"
    return connection.execute(query, (conversation_id,)).fetchone() is not None


def _message(connection: sqlite3.Connection, message_id: str) -> Message | None:
    query = "SELECT * FROM message_view WHERE message_id = ?"
    row = connection.execute(query, (whole_characters(message_id),)).fetchone()
    return None if row is None else message_of(row)


def _is_buried(connection: sqlite3.Connection, message_id: str) -> bool:
    query = "SELECT 1 FROM tombstones WHERE message_id = ?"
    return connection.execute(query, (whole_characters(message_id),)).fetchone() is not None


def _next_moment(connection: sqlite3.Connection, conversation_id: str) -> str:
    """Now, but after everything already said here: an answer never sorts before its question,
    even when another device's clock is ahead or this one's was set back."""
    last = connection.execute(
        "SELECT max(created_at) FROM messages WHERE conversation_id = ?", (conversation_id,)
    ).fetchone()[0]
    moment = now()
    return moment if last is None or moment > last else just_after(last)


def _not_found(conversation_id: str) -> ConversationNotFound:
    shown = conversation_id if len(conversation_id) <= MAX_ID_CHARS else conversation_id[:50] + "…"
    return ConversationNotFound(
        f"There is no conversation {shown!r}.", "List the conversations to see which there are."
    )


def _is_moment(text: str) -> bool:
    try:
        return in_utc(text) == text
    except ValueError:
        return False


def _check_name(text: str, what: str, most: int) -> None:
    if not is_name(text, most):
        raise InvalidConversation(
            f"{text[:50]!r} cannot be a {what}.",
            f"Use 1 to {most} characters without line breaks or control characters.",
        )


def _clean_title(title: str) -> str:
    title = " ".join(title.split())
    _check_name(title, "title", MAX_TITLE_CHARS)
    return title
