from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_context.conversations import store as module
from shared_context.conversations.messages import AUTO_TITLE_CHARS, Message, auto_title
from shared_context.conversations.migrations import DEFAULT_CONVERSATION
from shared_context.conversations.store import _SAYING, ConversationStore
from shared_context.errors import ConversationNotFound, InvalidConversation, StoreFull
from shared_context.exchange.message_log import MessageLog
from shared_context.exchange.wire import Span
from shared_context.storage import identity
from support.children import Child


def say(store: ConversationStore, conversation_id: str, *texts: str) -> list[Message]:
    roles = ("user", "assistant")
    return [store.add_message(conversation_id, roles[index % 2], text) for index, text in enumerate(texts)]


def test_the_default_conversation_always_exists(store: ConversationStore) -> None:
    assert store.get(DEFAULT_CONVERSATION).title == ""
    say(store, DEFAULT_CONVERSATION, "hello")
    store.delete(DEFAULT_CONVERSATION)
    assert store.get(DEFAULT_CONVERSATION).turn_count == 0
    assert store.messages(DEFAULT_CONVERSATION) == []


def test_a_message_comes_back_as_it_was_stored(store: ConversationStore) -> None:
    question = store.add_message("default", "user", "Wer? 🦜\nZeile 2", tier="phone")
    answer = store.add_message(
        "default",
        "assistant",
        "",
        message_id="m-1",
        tier="desktop",
        model="tiny",
        run_id="r-1",
        reply_to=question.message_id,
        receipt={"documents": [{"name": "PROJECT_CONTEXT.md"}], "é": None},
    )
    assert store.messages("default") == [question, answer]
    assert store.message("m-1") == answer
    assert answer.receipt == {"documents": [{"name": "PROJECT_CONTEXT.md"}], "é": None}
    assert store.message("unknown") is None


def test_the_first_message_stored_under_an_id_stays(store: ConversationStore) -> None:
    first = store.add_message("default", "assistant", "first", message_id="m-1")
    again = store.add_message("default", "assistant", "second", message_id="m-1")
    assert again == first
    assert store.messages("default") == [first]


def test_messages_survive_closing(tmp_path: Path) -> None:
    with ConversationStore.open(tmp_path / "memory.db") as store:
        stored = say(store, "default", "one", "two")
        replica = store.replica_id
    with ConversationStore.open(tmp_path / "memory.db") as store:
        assert store.messages("default") == stored
        assert store.replica_id == replica


def test_a_limit_keeps_the_newest_messages_oldest_first(store: ConversationStore) -> None:
    stored = say(store, "default", *"abcde")
    assert store.messages("default", limit=2) == stored[-2:]
    assert store.messages("default", limit=0) == []
    assert store.messages("default", limit=99) == stored


def test_messages_keep_their_order_when_the_clock_is_set_back(
    store: ConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "now", lambda: "2030-01-01T00:00:00.000000Z")
    first = say(store, "default", "before")[0]
    monkeypatch.setattr(module, "now", lambda: "2020-01-01T00:00:00.000000Z")
    later = say(store, "default", "after", "and after that")
    assert store.messages("default") == [first, *later]
    assert later[0].created_at == "2030-01-01T00:00:00.000001Z"


def test_turns_are_the_user_s_messages(store: ConversationStore) -> None:
    say(store, "default", "q", "a", "q", "a", "q")
    store.add_message("default", "system", "rules")
    assert store.get("default").turn_count == 3


def test_the_title_is_the_beginning_of_the_first_user_message(store: ConversationStore) -> None:
    conversation = store.create()
    assert conversation.title == ""
    store.add_message(conversation.conversation_id, "system", "Be kind.")
    store.add_message(conversation.conversation_id, "user", "  What is\n continuity?  ")
    store.add_message(conversation.conversation_id, "user", "And then?")
    assert store.get(conversation.conversation_id).title == "What is continuity?"
    assert store.rename(conversation.conversation_id, " Continuity ").title == "Continuity"
    assert [c.title for c in store.list(empty=True)] == ["Continuity", ""]


@given(st.text(max_size=300))
def test_an_automatic_title_is_one_short_printable_line(content: str) -> None:
    title = auto_title(content)
    if title is None:
        assert not any(character.isprintable() and not character.isspace() for character in content)
    else:
        assert 0 < len(title) <= AUTO_TITLE_CHARS + 1
        assert title.isprintable()


def test_a_long_title_is_cut_at_a_word(store: ConversationStore) -> None:
    assert auto_title("word " * 30) == "word " * 11 + "word…"
    assert auto_title("x" * 100) == "x" * 60 + "…"


def test_conversations_are_listed_latest_first_in_pages(store: ConversationStore) -> None:
    made = [store.create(title=f"number {number}") for number in range(5)]
    say(store, made[1].conversation_id, "newest")
    ids = [c.conversation_id for c in store.list(empty=True)]
    expected = [made[index].conversation_id for index in (1, 4, 3, 2, 0)] + ["default"]
    assert ids == expected
    pages = []
    before = None
    while page := store.list(limit=2, before=before, empty=True):
        pages.extend(page)
        before = page[-1].conversation_id
    assert [c.conversation_id for c in pages] == expected


def test_paging_goes_on_after_a_conversation_deleted_meanwhile(store: ConversationStore) -> None:
    made = [store.create() for _ in range(3)]
    store.delete(made[1].conversation_id)
    page = store.list(before=made[1].conversation_id, empty=True)
    assert [c.conversation_id for c in page] == [made[0].conversation_id, "default"]


def test_a_lone_surrogate_in_a_page_s_start_is_no_crash(store: ConversationStore) -> None:
    store.create("\ufffd")
    assert [c.conversation_id for c in store.list(before="\ud800", empty=True)] == ["default"]


def test_creating_an_existing_conversation_returns_it(store: ConversationStore) -> None:
    first = store.create("trip", "A trip")
    assert store.create("trip", "Another title") == first


@pytest.mark.parametrize("name", ["", "a\nb", "a\x00b", "x" * 201, "\ud800"])
def test_an_id_that_cannot_be_used_is_refused(store: ConversationStore, name: str) -> None:
    with pytest.raises(InvalidConversation, match="conversation id"):
        store.create(name)
    with pytest.raises(InvalidConversation, match="message id"):
        store.add_message("default", "user", "x", message_id=name)
    with pytest.raises(ConversationNotFound):
        store.get(name)
    with pytest.raises(ConversationNotFound):
        store.list(before=name)
    assert store.message(name) is None


def test_an_unusable_title_or_role_is_refused(store: ConversationStore) -> None:
    for title in ("", "  \n", "x" * 201, "a\x07b"):
        with pytest.raises(InvalidConversation, match="title"):
            store.rename("default", title)
    with pytest.raises(InvalidConversation, match="'narrator' is not a role"):
        store.add_message("default", "narrator", "Once upon a time")


def test_an_unknown_conversation_is_named_in_the_error(store: ConversationStore) -> None:
    for call in (
        lambda: store.get("nope"),
        lambda: store.messages("nope"),
        lambda: store.rename("nope", "x"),
        lambda: store.delete("nope"),
        lambda: store.clear("nope"),
        lambda: store.add_message("nope", "user", "x"),
        lambda: store.list(before="nope"),
    ):
        with pytest.raises(ConversationNotFound, match="'nope'"):
            call()


def test_a_deleted_conversation_is_gone_with_its_messages(store: ConversationStore) -> None:
    conversation = store.create(title="Secret")
    message = say(store, conversation.conversation_id, "the treasure")[0]
    store.delete(conversation.conversation_id)
    with pytest.raises(ConversationNotFound):
        store.messages(conversation.conversation_id)
    assert store.message(message.message_id) is None
    assert store.is_deleted(message.message_id)
    assert store.search("treasure") == []
    assert [c.conversation_id for c in store.list(empty=True)] == ["default"]


def test_a_deleted_message_does_not_come_back_by_being_delivered_again(store: ConversationStore) -> None:
    message = say(store, "default", "hello")[0]
    store.clear("default")
    store.add_message("default", "user", "hello", message_id=message.message_id)
    assert store.messages("default") == []


def test_a_deleted_id_starts_again_empty(store: ConversationStore) -> None:
    store.create("trip", "Old")
    say(store, "trip", "old")
    store.delete("trip")
    again = store.create("trip")
    assert (again.title, again.turn_count) == ("", 0)
    assert store.messages("trip") == []


def test_clearing_forgets_the_automatic_title_and_keeps_a_given_one(store: ConversationStore) -> None:
    say(store, "default", "hello")
    store.clear("default")
    assert store.get("default").title == ""
    say(store, "default", "again")
    assert store.get("default").title == "again"
    store.rename("default", "Mine")
    store.clear("default")
    assert store.get("default").title == "Mine"


def test_lone_surrogates_become_the_replacement_character(store: ConversationStore) -> None:
    message = store.add_message("default", "user", "a\ud800b \ud83d\ude00")
    assert message.content == "a�b 😀"
    assert store.messages("default") == [message]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_comes_back_unchanged(store: ConversationStore, content: str) -> None:
    message = store.add_message("default", "user", content)
    assert store.message(message.message_id) == message
    assert message.content == content


def test_every_message_and_deletion_has_its_place_in_the_replica_s_log(store: ConversationStore) -> None:
    say(store, "default", "a", "b")
    store.create("trip")
    say(store, "trip", "c")
    store.clear("default")
    say(store, "default", "d")
    with store.database.read() as connection:
        messages = connection.execute("SELECT content, sequence FROM messages").fetchall()
        buried = connection.execute("SELECT sequence FROM tombstones ORDER BY 1").fetchall()
        origins = connection.execute(
            "SELECT origin FROM messages UNION SELECT origin FROM tombstones"
        ).fetchall()
    assert {row["content"]: row["sequence"] for row in messages} == {"c": 4, "d": 7}
    assert [row["sequence"] for row in buried] == [5, 6]
    assert [row["origin"] for row in origins] == [store.writer.origin]


def test_many_threads_may_write_and_read(store: ConversationStore) -> None:
    failures: list[BaseException] = []

    def talk(name: str) -> None:
        try:
            conversation = store.create(name)
            for number in range(10):
                say(store, conversation.conversation_id, f"{name} {number}")
                say(store, "default", f"{name} {number}")
                store.messages("default", limit=5)
                store.list()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=talk, args=(f"thread-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert store.get("default").turn_count == 80
    assert all(store.get(f"thread-{number}").turn_count == 10 for number in range(8))
    moments = [message.created_at for message in store.messages("default")]
    assert moments == sorted(set(moments))


def test_a_full_store_keeps_what_was_said_before(store: ConversationStore) -> None:
    with store.database.write() as connection:
        connection.execute("PRAGMA max_page_count = 60")
    said = 0
    with pytest.raises(StoreFull):
        while said < 1000:
            say(store, "default", "x" * 5000)
            said += 1
    assert len(store.messages("default")) == said > 0
    assert store.get("default").turn_count == said


def test_kill_9_keeps_every_message_that_was_confirmed(tmp_path: Path) -> None:
    talk = """
        import sys
        from pathlib import Path
        from shared_context.conversations.store import _SAYING, ConversationStore
        store = ConversationStore.open(Path(sys.argv[1]))
        while True:
            print(store.add_message("default", "user", "hello " * 50).message_id)
    """
    with Child(talk, tmp_path / "memory.db") as child:
        confirmed = [child.line() for _ in range(40)]
        child.kill()
        confirmed += [line for line in child.rest() if len(line) == len(confirmed[0])]
    with ConversationStore.open(tmp_path / "memory.db") as store:
        kept = [message.message_id for message in store.messages("default")]
        assert kept[: len(confirmed)] == confirmed
        assert store.get("default").turn_count == len(kept)
        assert len(store.search("hello", limit=10_000)) == len(kept)


# Big histories: the plan is what keeps them fast, so the plan is tested, not the clock.


@pytest.mark.parametrize(
    ("statement", "parameters", "index"),
    [
        (module._LIST, ("2026", "x", False, 50), "conversations_latest"),
        (module._LIST, ("2026", "x", True, 50), "conversations_latest"),
        (module._NEWEST, ("default", 50), "messages_placed"),
        ("SELECT max(created_at) FROM messages WHERE conversation_id = ?", ("x",), "messages_in_order"),
    ],
)
def test_reading_uses_an_index_without_sorting(
    store: ConversationStore, statement: str, parameters: tuple[object, ...], index: str
) -> None:
    with store.database.read() as connection:
        plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert any(index in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


def steps(store: ConversationStore, statement: str, parameters: tuple[object, ...]) -> int:
    """How many instructions SQLite executes for it."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    with store.database.read() as connection:
        connection.set_progress_handler(tick, 1)
        connection.execute(statement, parameters).fetchall()
        connection.set_progress_handler(None, 0)
    return count


def grow(store: ConversationStore, conversations: int, messages: int) -> None:
    """Fast, straight into the tables; the triggers do their part."""
    moment = identity.now()
    with store.database.write() as connection:
        connection.executemany(
            "INSERT INTO conversations (conversation_id, created_at, updated_at, turn_count) VALUES (?, ?, ?, 1)",
            ((f"c{number}", moment, moment) for number in range(conversations)),
        )
        connection.executemany(
            """INSERT INTO messages (message_id, conversation_id, role, content, created_at, origin, sequence)
            VALUES (?, 'default', 'user', 'words of a message', ?, 'test', ?)""",
            ((f"m{number:07}", f"2020-01-01T00:00:{number:09}Z", number) for number in range(messages)),
        )


def test_reading_costs_the_same_however_much_was_said(tmp_path: Path) -> None:
    cost = []
    for size in (200, 20_000):
        with ConversationStore.open(tmp_path / f"{size}.db") as store:
            grow(store, conversations=size // 10, messages=size)
            assert store.get("default").turn_count == size
            assert [m.message_id for m in store.messages("default", limit=2)] == [
                f"m{size - 2:07}",
                f"m{size - 1:07}",
            ]
            cost.append(
                [
                    steps(store, module._LIST, (*module._END, False, 20)),
                    steps(store, module._NEWEST, ("default", 20)),
                ]
            )
    assert all(large < 1.2 * small for small, large in zip(*cost, strict=True)), cost


def test_the_schema_can_be_read_by_plain_sqlite(store: ConversationStore) -> None:
    say(store, "default", "hello")
    connection = sqlite3.connect(store.database.path)
    assert connection.execute("SELECT content FROM messages").fetchall() == [("hello",)]
    connection.close()


def test_a_time_that_is_none_is_refused(store: ConversationStore) -> None:
    for moment in ("yesterday", "2026-01-01", "2026-01-01T00:00:00Z"):
        with pytest.raises(InvalidConversation):
            store.add_message("default", "user", "a", created_at=moment)
    assert store.messages("default") == []


def send(sender: ConversationStore, receiver: ConversationStore) -> None:
    page = MessageLog(sender).since(MessageLog(receiver).vector())
    MessageLog(receiver).receive(map(Span.model_validate, page.spans))


def test_a_title_given_after_the_conversation_was_deleted_elsewhere_is_not_kept(tmp_path: Path) -> None:
    with (
        ConversationStore.open(tmp_path / "a.db") as here,
        ConversationStore.open(tmp_path / "b.db") as there,
    ):
        here.create("trip", "A trip")
        send(here, there)
        here.delete("trip")
        there.rename("trip", "Another title")
        send(here, there)
        send(there, here)
        for store in (here, there):
            assert store.titled("title") == [] and store.titled("trip") == []
            with store.database.read() as connection:
                values = connection.execute("SELECT value FROM registers WHERE conversation_id = 'trip'")
                assert [row["value"] for row in values] == [None, None]


def test_messages_are_found_by_their_text_without_reading_all(store: ConversationStore) -> None:
    for number in range(3):
        store.add_message("default", "assistant", f"{'long ' * 20}{number}\n")
    store.add_message("default", "user", f"{'long ' * 20}1")
    assert [message.role for message in store.saying("assistant", f" {'long ' * 20}1 ")] == ["assistant"]
    assert store.saying("assistant", "long " * 20) == []
    with store._database.read() as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {_SAYING}", ("user", "x", 1)).fetchall()
    assert any("messages_saying" in row["detail"] for row in plan)
