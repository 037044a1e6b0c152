"""Versions of one answer: which is shown, where it stands, and that all replicas agree."""

from __future__ import annotations

import json
import shutil
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_context.conversations.migrations import MIGRATIONS
from shared_context.conversations.store import ConversationStore
from shared_context.conversations.transfer import export_conversation, import_conversation
from shared_context.conversations.versions import AnswerVersion, arrange
from shared_context.errors import InvalidImport
from shared_context.exchange.message_log import MessageLog
from shared_context.exchange.wire import Span
from shared_context.retrieval.recall import MemorySearch
from shared_context.storage.database import Database


def add(store: ConversationStore, text: str, message_id: str, **fields: Any) -> None:
    role = "user" if text.endswith("?") else "assistant"
    store.add_message("default", role, text, message_id=message_id, **fields)


def two_turns(store: ConversationStore) -> None:
    add(store, "One?", "q1")
    add(store, "First.", "a1", reply_to="q1")
    add(store, "Two?", "q2")
    add(store, "Second.", "a2", reply_to="q2")


def said(store: ConversationStore) -> list[str]:
    return [message.content for message in store.messages("default")]


def versions(store: ConversationStore) -> dict[str, list[str]]:
    found = store.versions("default")
    return {key: [message.message_id for message in some] for key, some in found.items()}


def test_a_better_answer_takes_the_place_of_the_former_one(store: ConversationStore) -> None:
    two_turns(store)
    add(store, "Better.", "a1b", reply_to="q1", supersedes="a1")
    assert said(store) == ["One?", "Better.", "Two?", "Second."]
    assert versions(store) == {"a1b": ["a1"]}
    assert store.get("default").turn_count == 2


def test_an_answer_that_is_superseded_before_it_comes_is_a_version_when_it_comes(
    store: ConversationStore,
) -> None:
    add(store, "One?", "q1")
    add(store, "Delivered.", "vps", reply_to="q1", supersedes="desktop")
    add(store, "Two?", "q2")
    assert versions(store) == {}
    add(store, "Not seen.", "desktop", reply_to="q1")
    assert said(store) == ["One?", "Delivered.", "Two?"]
    assert versions(store) == {"vps": ["desktop"]}


def test_answers_to_one_question_belong_together_when_one_took_anothers_place(
    store: ConversationStore,
) -> None:
    two_turns(store)
    add(store, "Asked again, handed over.", "vps", reply_to="q1", supersedes="never seen here")
    assert said(store) == ["One?", "Asked again, handed over.", "Two?", "Second."]
    assert versions(store) == {"vps": ["a1"]}


def test_answers_that_know_nothing_of_versions_are_all_shown(store: ConversationStore) -> None:
    two_turns(store)
    add(store, "And another thing.", "a1x", reply_to="q1")
    assert sorted(said(store)) == sorted(["One?", "First.", "And another thing.", "Two?", "Second."])


def test_versions_form_a_chain_and_the_last_is_shown(store: ConversationStore) -> None:
    two_turns(store)
    add(store, "Third.", "a3", supersedes="a1b")
    add(store, "Better.", "a1b", supersedes="a1")
    assert said(store) == ["One?", "Third.", "Two?", "Second."]
    assert versions(store) == {"a3": ["a1", "a1b"]} or versions(store) == {"a3": ["a1b", "a1"]}


def test_of_two_that_supersede_the_same_the_latest_is_shown(store: ConversationStore) -> None:
    two_turns(store)
    add(store, "By the vps.", "x", supersedes="a1", created_at="2090-01-01T00:00:00.000000Z")
    add(store, "By the desktop.", "y", supersedes="a1", created_at="2089-01-01T00:00:00.000000Z")
    assert said(store)[1] == "By the vps."
    assert set(versions(store)["x"]) == {"a1", "y"}


def test_nothing_makes_a_persons_words_disappear(store: ConversationStore) -> None:
    two_turns(store)
    add(store, "Instead.", "x", supersedes="q1")
    store.add_message("default", "user", "No answer?", message_id="u", supersedes="a1")
    assert set(said(store)) == {"One?", "First.", "Two?", "Second.", "Instead.", "No answer?"}


def test_an_answer_elsewhere_is_no_version(store: ConversationStore) -> None:
    two_turns(store)
    store.create("trip")
    store.add_message("trip", "assistant", "Elsewhere.", supersedes="a1")
    assert said(store) == ["One?", "First.", "Two?", "Second."]


def test_one_that_supersedes_itself_is_simply_shown(store: ConversationStore) -> None:
    two_turns(store)
    add(store, "Me.", "self", supersedes="self")
    assert said(store)[-1] == "Me."


def test_the_answer_to_a_question_is_the_shown_one(store: ConversationStore) -> None:
    two_turns(store)
    add(store, "Better.", "a1b", reply_to="q1", supersedes="a1")
    add(store, "Late.", "a1c", reply_to="q1", supersedes="zzz")
    answer = store.answer_to("q1")
    assert answer is not None
    assert answer.message_id == "a1c"


def test_former_versions_are_not_found_by_searching(store: ConversationStore, tmp_path: Path) -> None:
    two_turns(store)
    search = MemorySearch(tmp_path / "search.db", store)
    assert [one.item for one in search.search("first")] == ["a1"]
    add(store, "Better.", "a1b", reply_to="q1", supersedes="a1")
    assert store.search("First") == []
    assert search.search("first") == []
    assert [one.item for one in search.search("better")] == ["a1b"]
    search.close()


def test_deleting_a_conversation_deletes_all_versions_on_every_replica(
    store: ConversationStore, other: ConversationStore
) -> None:
    two_turns(store)
    add(store, "Better.", "a1b", reply_to="q1", supersedes="a1")
    send(store, other)
    other.clear("default")
    send(other, store)
    for one in (store, other):
        assert (said(one), versions(one)) == ([], {})
        assert all(one.is_deleted(message_id) for message_id in ("a1", "a1b", "q1"))


def test_export_and_import_carry_versions(store: ConversationStore, other: ConversationStore) -> None:
    two_turns(store)
    add(store, "Better.", "a1b", reply_to="q1", supersedes="a1")
    add(store, "Best.", "a1c", reply_to="q1", supersedes="a1b")
    exported = json.loads(json.dumps(export_conversation(store, "default")))
    for _ in range(2):
        import_conversation(other, exported)
        assert said(other) == said(store)
        assert versions(other) == versions(store)
    assert export_conversation(other, "default") == exported


def test_a_copied_conversation_has_its_versions_too(store: ConversationStore) -> None:
    add(store, "One?", "q1")
    # The version shown is older than the one it names, as after a hand-over.
    add(store, "Delivered.", "vps", reply_to="q1", supersedes="desktop")
    add(store, "Not seen.", "desktop", reply_to="q1")
    add(store, "Better.", "later", reply_to="q1", supersedes="vps")
    exported = export_conversation(store, "default")
    import_conversation(store, exported, "copy")
    copied = store.messages("copy")
    assert [message.content for message in copied] == ["One?", "Better."]
    (copies,) = store.versions("copy").values()
    assert [message.content for message in copies] == ["Delivered.", "Not seen."]
    assert said(store) == ["One?", "Better."]


def test_a_version_is_checked_like_a_message(store: ConversationStore) -> None:
    item = {"role": "assistant", "content": "x", "versions": [{"role": "assistant", "content": 3}]}
    with pytest.raises(InvalidImport, match=r"history\[0\]\.versions\[0\]\.content"):
        import_conversation(store, [item])
    with pytest.raises(InvalidImport, match=r"history\[0\]\.versions should be a list"):
        import_conversation(store, [{**item, "versions": "x"}])


def test_a_database_from_before_versions_is_migrated_and_keeps_its_order(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    database = Database(path, MIGRATIONS[:-1])
    with database.write() as connection:
        connection.execute("INSERT INTO origins VALUES ('o', 'r', 7, 3)")
        for number, text in enumerate(("One?", "First.", "Two?"), 1):
            connection.execute(
                """INSERT INTO messages (message_id, conversation_id, role, content, created_at, origin,
                    sequence) VALUES (?1, 'default', 'user', ?2, ?3, 'o', ?4)""",
                (f"m{number}", text, f"2026-01-0{number}T00:00:00.000000Z", number),
            )
    database.close()
    with ConversationStore.open(path) as store:
        assert said(store) == ["One?", "First.", "Two?"]
        add(store, "Answer.", "a", supersedes="b")
        add(store, "Other.", "b")
        assert said(store)[-1] == "Answer."
    assert path.with_name(f"memory.db.v{len(MIGRATIONS) - 1}.bak").exists()


def test_a_peer_that_does_not_know_the_field_still_exchanges(
    store: ConversationStore, other: ConversationStore
) -> None:
    two_turns(store)
    add(store, "Better.", "a1b", reply_to="q1", supersedes="a1")
    page = MessageLog(store).since({})
    for span in page.spans:
        for record in span["records"]:
            record.pop("supersedes", None)
    MessageLog(other).receive([Span.model_validate(span) for span in page.spans])
    assert len(said(other)) == 5
    assert MessageLog(other).vector() == MessageLog(store).vector()


def send(sender: ConversationStore, receiver: ConversationStore) -> None:
    page = MessageLog(sender).since(MessageLog(receiver).vector(), max_records=2000)
    MessageLog(receiver).receive([Span.model_validate(span) for span in page.spans])


ids = st.sampled_from("abcdefgh")
some_versions = st.lists(
    st.builds(AnswerVersion, ids, st.sampled_from(["1", "2", "3"]), st.none() | ids),
    min_size=1,
    max_size=8,
    unique_by=lambda one: one.message_id,
)


@given(some_versions, st.randoms(use_true_random=False))
def test_the_arrangement_does_not_depend_on_the_order(found: list[AnswerVersion], random: Any) -> None:
    arrangement = arrange(found)
    assert arrangement.place == min(one.created_at for one in found)
    assert arrangement.shown in {one.message_id for one in found}
    random.shuffle(found)
    assert arrange(found) == arrangement


@settings(max_examples=40, deadline=None)
@given(
    answers=st.lists(
        st.tuples(st.sampled_from("uvw"), st.none() | ids, st.sampled_from("pq"), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    random=st.randoms(use_true_random=False),
)
def test_replicas_that_hear_of_versions_in_any_order_agree(
    answers: list[tuple[str, str | None, str, bool]], random: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Three writers; what each wrote reaches two replicas in different orders, some of it twice."""
    folder = tmp_path_factory.mktemp("versions")
    writers = {name: ConversationStore.open(folder / f"{name}.db") for name in "uvw"}
    readers = [ConversationStore.open(folder / f"reader{number}.db") for number in range(2)]
    try:
        for number, (writer, supersedes, question, cleared) in enumerate(answers):
            known = {"supersedes": supersedes, "reply_to": question}
            add(writers[writer], f"answer {number}", "abcdefgh"[number], **known)
            if cleared and number == len(answers) // 2:
                writers[writer].clear("default")
        for reader in readers:
            order = [*writers.values(), *random.sample(list(writers.values()), 2)]
            random.shuffle(order)
            for writer in order:
                send(writer, reader)
        one, two = ((said(reader), versions(reader)) for reader in readers)
        assert one == two
        shown, hidden = one
        assert len(shown) + sum(len(some) for some in hidden.values()) == len(set(shown) | _texts(readers[0]))
    finally:
        for store in (*writers.values(), *readers):
            store.close()
        shutil.rmtree(folder)


def _texts(store: ConversationStore) -> set[str]:
    with store.database.read() as connection:
        return {row[0] for row in connection.execute("SELECT content FROM messages")}


def test_every_order_of_a_hand_over_ends_the_same(tmp_path: Path) -> None:
    parts = [("Own.", "desktop", None), ("Seen.", "vps", "desktop"), ("Best.", "later", "vps")]
    views = []
    for number, order in enumerate(permutations(parts)):
        with ConversationStore.open(tmp_path / f"{number}.db") as store:
            for text, message_id, supersedes in order:
                add(store, text, message_id, supersedes=supersedes, created_at=_moment(message_id))
            views.append((said(store), versions(store)))
    assert all(view == (["Best."], {"later": ["vps", "desktop"]}) for view in views)


def _moment(message_id: str) -> str:
    return f"2026-01-0{1 + ('vps', 'desktop', 'later').index(message_id)}T00:00:00.000000Z"
