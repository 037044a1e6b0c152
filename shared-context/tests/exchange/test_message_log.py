"""What one store passes on to another, record by record."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from shared_context.conversations import store as conversations_module
from shared_context.conversations.store import ConversationStore
from shared_context.errors import ConversationNotFound, StoreFull
from shared_context.exchange import message_log
from shared_context.exchange.message_log import MessageLog, Page, Received
from shared_context.exchange.replica import Replica
from shared_context.exchange.wire import Span

OpenStore = Callable[[str], ConversationStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[OpenStore]:
    opened: list[ConversationStore] = []

    def open_one(name: str) -> ConversationStore:
        opened.append(ConversationStore.open(tmp_path / name / "memory.db"))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def page_for(sender: ConversationStore, receiver: ConversationStore, **size: int) -> Page:
    return MessageLog(sender).since(MessageLog(receiver).vector(), **size)


def take(receiver: ConversationStore, page: Page) -> Received:
    return MessageLog(receiver).receive([Span.model_validate(span) for span in page.spans])


def send(sender: ConversationStore, receiver: ConversationStore) -> Received:
    page = page_for(sender, receiver, max_records=2000)
    assert not page.more
    return take(receiver, page)


def test_a_message_arrives_whole_and_makes_its_conversation(open_store: OpenStore) -> None:
    desktop, vps = open_store("desktop"), open_store("vps")
    trip = desktop.create("trip")
    question = desktop.add_message("trip", "user", "Where to? 🦜", tier="phone")
    answer = desktop.add_message(
        "trip", "assistant", "North.", tier="desktop", model="m", run_id="r", reply_to=question.message_id,
        receipt={"tokens": 3},
    )  # fmt: skip
    assert send(desktop, vps) == Received(records=3, conversations={"trip"})
    assert vps.messages("trip") == [question, answer]
    assert vps.get("trip") == desktop.get("trip")
    assert vps.get("trip").created_at == trip.created_at
    assert [hit.message_id for hit in vps.search("north")] == [answer.message_id]
    assert MessageLog(vps).vector() == MessageLog(desktop).vector()


def test_taking_in_the_same_again_changes_nothing(open_store: OpenStore) -> None:
    desktop, vps = open_store("desktop"), open_store("vps")
    desktop.add_message("default", "user", "once")
    page = page_for(desktop, vps)
    assert take(vps, page).records == 1
    assert take(vps, page) == Received()
    assert vps.get("default").turn_count == 1


def test_pages_are_bounded_and_may_arrive_in_any_order(open_store: OpenStore) -> None:
    desktop, vps = open_store("desktop"), open_store("vps")
    said = [desktop.add_message("default", "user", f"text {n} " + "x" * 100) for n in range(10)]
    first = page_for(desktop, vps, max_records=4)
    assert [len(span["records"]) for span in first.spans] == [4] and first.more
    second = MessageLog(desktop).since({span["origin"]: span["upto"] for span in first.spans}, max_bytes=1000)
    assert 1 <= len(second.spans[0]["records"]) < 6 and second.more
    early = take(vps, second)
    assert early.records == 0 and early.gaps == {desktop.writer.origin}
    take(vps, first)
    take(vps, second)
    send(desktop, vps)
    assert vps.messages("default") == said


def test_a_record_larger_than_a_page_still_gets_through(open_store: OpenStore) -> None:
    desktop, vps = open_store("desktop"), open_store("vps")
    desktop.add_message("default", "user", "x" * 100_000)
    page = page_for(desktop, vps, max_bytes=1024)
    assert take(vps, page).records == 1 and not page.more


def test_deletions_and_titles_reach_everyone(open_store: OpenStore) -> None:
    desktop, vps = open_store("desktop"), open_store("vps")
    for name in ("trip", "house"):
        desktop.create(name, f"The {name}")
        desktop.add_message(name, "user", f"about the {name}")
    send(desktop, vps)
    vps.rename("house", "Our house")
    vps.delete("trip")
    send(vps, desktop)
    assert desktop.get("house").title == "Our house"
    with pytest.raises(ConversationNotFound):
        desktop.get("trip")
    send(desktop, vps)
    assert vps.get("house") == desktop.get("house")


def test_what_was_said_while_somebody_else_deleted_the_conversation_is_kept(open_store: OpenStore) -> None:
    desktop, vps = open_store("desktop"), open_store("vps")
    desktop.create("trip")
    desktop.add_message("trip", "user", "old")
    send(desktop, vps)
    desktop.delete("trip")
    vps.add_message("trip", "user", "new")
    send(vps, desktop)
    send(desktop, vps)
    for store in (desktop, vps):
        assert [message.content for message in store.messages("trip")] == ["new"]
    assert vps.get("trip") == desktop.get("trip")


def test_a_message_delivered_to_two_tiers_is_one_message_everywhere(open_store: OpenStore) -> None:
    desktop, vps, phone = open_store("desktop"), open_store("vps"), open_store("phone")
    for store in (vps, desktop):
        store.add_message("default", "user", "twice", message_id="m1")
    send(desktop, phone)
    send(vps, phone)
    send(vps, desktop)
    send(desktop, vps)
    assert desktop.messages("default") == vps.messages("default") == phone.messages("default")
    assert len(phone.messages("default")) == 1


def test_the_latest_title_wins_even_over_one_from_a_clock_a_year_ahead(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, right = open_store("wrong"), open_store("right")
    wrong.create("trip")
    send(wrong, right)
    monkeypatch.setattr(wrong.clock, "_wall", lambda: "2099-01-01T00:00:00.000000Z")
    wrong.rename("trip", "From the future")
    send(wrong, right)
    assert right.get("trip").title == "From the future"
    right.rename("trip", "Seen and changed")
    send(right, wrong)
    assert wrong.get("trip").title == right.get("trip").title == "Seen and changed"


def test_a_conversation_from_a_clock_a_year_ahead_goes_on_in_order(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, right = open_store("wrong"), open_store("right")
    with monkeypatch.context() as patch:
        patch.setattr(conversations_module, "now", lambda: "2999-12-31T23:59:59.999999Z")
        wrong.add_message("default", "user", "question")
    send(wrong, right)
    right.add_message("default", "assistant", "answer")
    assert [message.content for message in right.messages("default")] == ["question", "answer"]
    assert send(right, wrong).records == 1 or wrong.messages("default")
    assert MessageLog(wrong).vector() == MessageLog(right).vector()


def copy_of(store: ConversationStore, folder: Path) -> ConversationStore:
    folder.mkdir()
    for file in store.database.path.parent.glob("memory.db*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, folder)
    return ConversationStore.open(folder / "memory.db")


def test_a_cloned_folder_is_noticed_and_loses_nothing(open_store: OpenStore, tmp_path: Path) -> None:
    desktop, vps = open_store("desktop"), open_store("vps")
    desktop.add_message("default", "user", "before")
    with copy_of(desktop, tmp_path / "clone") as clone:
        desktop.add_message("default", "user", "by the desktop")
        clone.add_message("default", "user", "by the clone")
        assert clone.replica_id == desktop.replica_id
        send(desktop, vps)
        send(clone, vps)
        assert len(vps.messages("default")) == 3
        send(vps, clone)
        assert clone.replica_id != desktop.replica_id
        assert Replica(clone).former_ids() == [desktop.replica_id]
        send(vps, desktop)
        assert clone.messages("default") == desktop.messages("default") == vps.messages("default")


def test_a_store_put_back_from_a_backup_gets_everything_back_and_reuses_no_number(
    open_store: OpenStore, tmp_path: Path
) -> None:
    desktop, vps = open_store("desktop"), open_store("vps")
    desktop.add_message("default", "user", "before the backup")
    with copy_of(desktop, tmp_path / "backup") as restored:
        desktop.add_message("default", "user", "after the backup")
        send(desktop, vps)
        desktop.close()
        restored.add_message("default", "user", "after it was put back")
        send(restored, vps)
        send(vps, restored)
        contents = {message.content for message in vps.messages("default")}
        assert contents == {"before the backup", "after the backup", "after it was put back"}
        assert restored.messages("default") == vps.messages("default")


def test_a_failure_half_way_leaves_nothing_of_the_page(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    desktop, vps = open_store("desktop"), open_store("vps")
    desktop.add_message("default", "user", "one")
    page = page_for(desktop, vps)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(message_log, "refresh", full)
        with pytest.raises((StoreFull, sqlite3.OperationalError, Exception)):
            take(vps, page)
    assert vps.messages("default") == [] and MessageLog(vps).vector() == {}
    assert take(vps, page).records == 1


@pytest.mark.parametrize(
    "change",
    [
        {"upto": 1},
        {"after": 7},
        {"origin": "../x"},
        {"records": [{"kind": "message", "sequence": 2}]},
        {"records": [{"kind": "gossip", "sequence": 2}]},
    ],
)
def test_a_span_that_cannot_be_is_refused(open_store: OpenStore, change: dict[str, object]) -> None:
    desktop, vps = open_store("desktop"), open_store("vps")
    for text in "abc":
        desktop.add_message("default", "user", text)
    (span,) = page_for(desktop, vps).spans
    Span.model_validate(span)
    with pytest.raises(ValidationError):
        Span.model_validate({**span, **change})


@pytest.mark.parametrize("moment", ["2026-02-30T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z", "now"])
def test_a_message_from_no_real_time_is_refused(open_store: OpenStore, moment: str) -> None:
    desktop, vps = open_store("desktop"), open_store("vps")
    desktop.add_message("default", "user", "a")
    (span,) = page_for(desktop, vps).spans
    span["records"][0]["created_at"] = moment
    with pytest.raises(ValidationError):
        Span.model_validate(span)


def test_a_database_of_the_first_schema_is_replicated_whole(tmp_path: Path) -> None:
    """The file was made by the first version of the store."""
    old = tmp_path / "old" / "memory.db"
    old.parent.mkdir()
    shutil.copy(Path(__file__).parents[1] / "data" / "memory_v1.db", old)
    with ConversationStore.open(old) as store, ConversationStore.open(tmp_path / "new.db") as new:
        assert (tmp_path / "old" / "memory.db.v1.bak").is_file()
        assert [message.message_id for message in store.messages("default")] == ["q1", "a1"]
        assert store.messages("default")[1].receipt == {"tokens": 3}
        assert store.get("named").title == "Another name"
        assert store.messages("cleared") == []
        with pytest.raises(ConversationNotFound):
            store.get("deleted")
        send(store, new)
        listed = [(one.conversation_id, one.title, one.turn_count) for one in store.list(empty=True)]
        assert sorted(listed) == sorted(
            (one.conversation_id, one.title, one.turn_count) for one in new.list(empty=True)
        )
        assert new.messages("named") == store.messages("named")
        assert new.is_deleted("gone-1") and new.is_deleted("gone-2")
        new.rename("named", "By the new one")
        send(new, store)
        assert store.get("named").title == "By the new one"
