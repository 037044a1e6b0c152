"""What answers quote of messages goes with these, on every replica."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shared_context.conversations.quotations import quoted_in, without
from shared_context.conversations.store import ConversationStore
from shared_context.exchange.message_log import MessageLog
from shared_context.exchange.wire import Span

SECRET = "The safe opens with 4711."


def receipt_of(*message_ids: str) -> dict[str, Any]:
    uses = [{"source": "message", "id": one, "tokens": 9, "text": f"[user] {SECRET}"} for one in message_ids]
    return {"model": "m", "retrieved": [*uses, {"source": "log", "id": "SESSION_LOG.md#e1", "text": "Done."}]}


def quoting(store: ConversationStore) -> tuple[str, str]:
    """A message, and an answer in another conversation whose receipt quotes it."""
    store.create("told")
    said = store.add_message("told", "user", SECRET)
    answer = store.add_message("default", "assistant", "It does.", receipt=receipt_of(said.message_id))
    return said.message_id, answer.message_id


def texts(store: ConversationStore, message_id: str) -> list[str]:
    message = store.message(message_id)
    assert message is not None and message.receipt is not None
    return [use["text"] for use in message.receipt["retrieved"]]


def send(sender: ConversationStore, receiver: ConversationStore) -> None:
    page = MessageLog(sender).since(MessageLog(receiver).vector())
    MessageLog(receiver).receive(map(Span.model_validate, page.spans))


def test_a_deleted_message_is_quoted_no_more(store: ConversationStore) -> None:
    said, answer = quoting(store)
    assert texts(store, answer) == [f"[user] {SECRET}", "Done."]
    store.delete("told")
    assert texts(store, answer) == ["", "Done."]
    stored = store.message(answer)
    assert stored is not None and stored.receipt is not None
    assert stored.receipt["retrieved"][0]["id"] == said and stored.receipt["retrieved"][0]["tokens"] == 9
    with store.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM quotations").fetchone()[0] == 0


def test_an_answer_that_comes_after_the_deletion_quotes_nothing(store: ConversationStore) -> None:
    said, _ = quoting(store)
    store.clear("told")
    late = store.add_message("default", "assistant", "Yes.", receipt=receipt_of(said))
    assert texts(store, late.message_id) == ["", "Done."]


@pytest.mark.parametrize("deletion_first", [False, True])
def test_another_replica_forgets_it_too(
    store: ConversationStore, other: ConversationStore, deletion_first: bool
) -> None:
    said, answer = quoting(store)
    if deletion_first:
        store.clear("told")
        send(store, other)
    else:
        send(store, other)
        assert texts(other, answer)[0]
        other.clear("told")
        send(other, store)
    assert other.is_deleted(said)
    assert texts(store, answer) == texts(other, answer) == ["", "Done."]


def test_what_another_message_says_stays(store: ConversationStore) -> None:
    said, _ = quoting(store)
    kept = store.add_message("default", "user", "The safe is green.")
    both = store.add_message("default", "assistant", "Green.", receipt=receipt_of(said, kept.message_id))
    store.clear("told")
    assert texts(store, both.message_id) == ["", f"[user] {SECRET}", "Done."]


def test_an_answer_that_is_deleted_itself_leaves_no_trace(store: ConversationStore) -> None:
    quoting(store)
    store.clear("default")
    with store.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM quotations").fetchone()[0] == 0


@pytest.mark.parametrize(
    "retrieved",
    [None, "x", {}, [], [1, None, "x", {}, {"source": "message"}, {"source": "message", "id": 7}]],
)
def test_a_receipt_may_hold_anything(store: ConversationStore, retrieved: Any) -> None:
    receipt = {"retrieved": retrieved}
    assert list(quoted_in(receipt)) == []
    stored = store.add_message("default", "assistant", "x", receipt=receipt)
    assert store.message(stored.message_id) == stored


def test_half_a_character_in_an_id_is_no_crash(store: ConversationStore) -> None:
    receipt = {"retrieved": [{"source": "message", "id": "\ud800", "text": "x"}]}
    store.add_message("default", "assistant", "x", receipt=receipt)
    assert without(receipt, {"\ufffd"})["retrieved"][0]["text"] == ""


def test_an_older_memory_forgets_what_was_deleted_before(tmp_path: Path, store: ConversationStore) -> None:
    said, answer = quoting(store)
    store.clear("told")
    with store.database.write() as connection:
        # As a version before wrote it.
        packed = json.dumps({"retrieved": [{"source": "message", "id": said, "text": "quoted"}]})
        connection.execute("UPDATE messages SET receipt = ? WHERE message_id = ?", (packed, answer))
        connection.execute("DROP TABLE quotations")
        connection.execute("DROP TRIGGER quotations_removed")
        connection.execute("DROP TABLE devices_seen")
        connection.execute("DROP INDEX messages_saying")
        connection.execute("PRAGMA user_version = 4")
    store.close()
    with ConversationStore.open(store.database.path) as again:
        assert texts(again, answer) == [""]
