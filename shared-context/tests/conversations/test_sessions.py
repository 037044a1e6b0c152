"""Marks of what was handed off, and stored summaries, in the memory's file."""

import shutil
from pathlib import Path

from shared_context.conversations.sessions import SUMMARIES_KEPT, HandoffMarks, SummaryStore
from shared_context.conversations.store import ConversationStore
from shared_context.exchange.message_log import MessageLog
from shared_context.exchange.wire import Span


def test_marked_messages_are_covered_after_reopening(tmp_path):
    path = tmp_path / "memory.db"
    with ConversationStore.open(path) as store:
        first = HandoffMarks(store.database).record(
            "e1", "default", ["a", "b"], log_version="v1", briefing_version=None
        )
    with ConversationStore.open(path) as store:
        marks = HandoffMarks(store.database)
        assert marks.covered("default") == {"a": "e1", "b": "e1"}
        assert marks.covered("other") == {}
        assert marks.find("e1") == first
        assert marks.find("e2") is None


def test_the_first_record_of_an_entry_stays(store):
    marks = HandoffMarks(store.database)
    first = marks.record("e1", "default", ["a"], log_version="v1", briefing_version="b1")
    again = marks.record("e1", "default", ["a"], log_version="v2", briefing_version="b2")
    assert again == first
    marks.record("e2", "default", ["a", "b"], log_version=None, briefing_version=None)
    assert marks.covered("default") == {"a": "e1", "b": "e2"}


def test_a_summary_is_found_under_what_it_was_made_from(store):
    summaries = SummaryStore(store.database)
    said = store.add_message("default", "user", "hello")
    summaries.put("default", "key", "Asked: hello", said.message_id)
    assert summaries.get("default", "key") == "Asked: hello"
    assert summaries.get("default", "other") is None
    assert summaries.get("elsewhere", "key") is None


def test_of_many_summaries_the_newest_stay(store):
    summaries = SummaryStore(store.database)
    said = store.add_message("default", "user", "hello").message_id
    for n in range(SUMMARIES_KEPT + 5):
        summaries.put("default", f"key{n}", str(n), said)
    kept = [n for n in range(SUMMARIES_KEPT + 5) if summaries.get("default", f"key{n}") is not None]
    assert kept == list(range(5, SUMMARIES_KEPT + 5))


def test_a_summary_goes_with_the_messages_it_quotes(store):
    summaries = SummaryStore(store.database)
    said = store.add_message("default", "user", "a secret")
    store.create("other")
    kept = store.add_message("other", "user", "something else")
    summaries.put("default", "key", "a secret", said.message_id)
    summaries.put("other", "key", "something else", kept.message_id)
    store.clear("default")
    assert summaries.get("default", "key") is None
    assert summaries.get("other", "key") == "something else"
    summaries.put("default", "key", "a secret", said.message_id)
    assert summaries.get("default", "key") is None, "deleted while it was being made"


def test_a_deletion_from_another_replica_forgets_it_too(store, tmp_path):
    with ConversationStore.open(tmp_path / "other" / "memory.db") as other:
        said = store.add_message("default", "user", "a secret")
        there = MessageLog(other)
        there.receive(map(Span.model_validate, MessageLog(store).since({}).spans))
        summaries = SummaryStore(other.database)
        summaries.put("default", "key", "a secret", said.message_id)
        store.clear("default")
        there.receive(map(Span.model_validate, MessageLog(store).since(there.vector()).spans))
        assert summaries.get("default", "key") is None


def test_a_memory_of_the_first_schema_gets_the_new_tables(tmp_path):
    path = tmp_path / "memory.db"
    shutil.copy(Path(__file__).parents[1] / "data" / "memory_v1.db", path)
    with ConversationStore.open(path) as store:
        assert HandoffMarks(store.database).covered("default") == {}
        assert store.list()
