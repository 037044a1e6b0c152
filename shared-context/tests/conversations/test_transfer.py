from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_context.conversations import transfer
from shared_context.conversations.store import ConversationStore
from shared_context.conversations.transfer import (
    export_conversation,
    import_conversation,
    load_conversation,
    save_conversation,
)
from shared_context.errors import ConversationNotFound, InvalidImport, StoreError
from shared_context.storage.identity import timestamp


def talk(store: ConversationStore, conversation_id: str = "default") -> None:
    store.add_message(conversation_id, "user", "What is a seam? 🧵", tier="phone")
    store.add_message(conversation_id, "assistant", "A visible\npoint.", tier="desktop", model="tiny")


def said(store: ConversationStore, conversation_id: str) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in store.messages(conversation_id)]


def test_the_format_is_the_documented_one(store: ConversationStore) -> None:
    talk(store)
    exported = export_conversation(store, "default")
    question = store.messages("default")[0]
    assert set(exported) == {"conversation_id", "title", "history", "turn_count"}
    assert (exported["conversation_id"], exported["title"], exported["turn_count"]) == (
        "default",
        "What is a seam? 🧵",
        1,
    )
    assert exported["history"][0] == {
        "role": "user",
        "content": "What is a seam? 🧵",
        "message_id": question.message_id,
        "tier": "phone",
        "created_at": question.created_at,
    }
    assert len(exported["history"]) == 2


def test_exporting_an_unknown_conversation_is_an_error(store: ConversationStore) -> None:
    with pytest.raises(ConversationNotFound):
        export_conversation(store, "nope")


def test_what_is_saved_can_be_loaded_elsewhere(
    store: ConversationStore, other: ConversationStore, tmp_path: Path
) -> None:
    store.create("trip", "A trip")
    talk(store, "trip")
    save_conversation(store, "trip", tmp_path / "conversation_history.json")
    conversation = load_conversation(other, tmp_path / "conversation_history.json")
    assert conversation.conversation_id == "trip"
    assert (conversation.title, conversation.turn_count) == ("A trip", 1)
    assert export_conversation(other, "trip") == export_conversation(store, "trip")


def test_importing_again_changes_nothing(store: ConversationStore, other: ConversationStore) -> None:
    talk(store)
    exported = export_conversation(store, "default")
    for _ in range(2):
        import_conversation(store, exported)
        import_conversation(other, exported, "copy")
        import_conversation(other, exported["history"], "list")
    assert export_conversation(store, "default") == exported
    assert len(other.messages("copy")) == len(other.messages("list")) == 2


def test_a_bare_list_without_ids_is_imported_once_and_grows(store: ConversationStore) -> None:
    history = [{"role": "user", "content": "hi"}, {"role": "user", "content": "hi"}]
    first = import_conversation(store, history)
    assert import_conversation(store, history).conversation_id == first.conversation_id
    assert said(store, first.conversation_id) == [("user", "hi"), ("user", "hi")]
    import_conversation(store, [*history, {"role": "assistant", "content": "ho"}], first.conversation_id)
    assert said(store, first.conversation_id) == [("user", "hi"), ("user", "hi"), ("assistant", "ho")]


def test_the_order_of_the_list_is_kept_even_against_its_times(store: ConversationStore) -> None:
    history = [
        {"role": "user", "content": "1", "created_at": "2024-05-01T10:00:00+02:00"},
        {"role": "assistant", "content": "2", "created_at": "2024-05-01T07:00:00"},
        {"role": "user", "content": "3"},
        {"role": "assistant", "content": "4", "created_at": "2024-05-01T08:00:01Z"},
    ]
    conversation = import_conversation(store, history)
    messages = store.messages(conversation.conversation_id)
    assert [message.content for message in messages] == list("1234")
    assert messages[0].created_at == "2024-05-01T08:00:00.000000Z"
    assert messages[3].created_at == "2024-05-01T08:00:01.000000Z"


def test_deleted_messages_come_back_when_they_are_imported(store: ConversationStore) -> None:
    talk(store)
    exported = export_conversation(store, "default")
    for _ in range(3):
        store.clear("default")
        import_conversation(store, exported)
        import_conversation(store, exported)
        assert said(store, "default") == [
            ("user", "What is a seam? 🧵"),
            ("assistant", "A visible\npoint."),
        ]


def test_a_copy_beside_the_original_leaves_the_original_alone(store: ConversationStore) -> None:
    talk(store)
    exported = export_conversation(store, "default")
    import_conversation(store, exported, "copy")
    assert said(store, "copy") == said(store, "default")
    assert export_conversation(store, "default") == exported


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "cannot be null"),
        ("text", "cannot be text"),
        (3, "cannot be a number"),
        (True, "cannot be true or false"),
        ({}, "history should be a list, not null"),
        ({"history": {}}, "history should be a list, not an object"),
        ([{"role": "user", "content": "x"}, 7], r"history\[1\] should be .* not a number"),
        ([{"content": "x"}], r"history\[0\]\.role should be one of"),
        ([{"role": "narrator", "content": "x"}], r"history\[0\]\.role should be one of"),
        ([{"role": ["user"], "content": "x"}], r"history\[0\]\.role should be one of"),
        ([{"role": "user"}], r"history\[0\]\.content should be text, not null"),
        ([{"role": "user", "content": ["x"]}], r"history\[0\]\.content should be text, not a list"),
        ([{"role": "user", "content": "a\x00b"}], r"history\[0\]\.content contains a NUL"),
        ([{"role": "user", "content": "x" * 1_000_001}], "more than 1000000 characters"),
        ([{"role": "user", "content": "x", "message_id": 5}], r"message_id should be text"),
        ([{"role": "user", "content": "x", "message_id": ""}], r"history\[0\]\.message_id is empty"),
        ([{"role": "user", "content": "x", "message_id": "a\nb"}], r"message_id is empty or has control"),
        (
            [{"role": "user", "content": "x", "message_id": "a"}] * 2,
            r"history\[1\]\.message_id is there twice",
        ),
        ([{"role": "user", "content": "x", "tier": {}}], r"history\[0\]\.tier should be text"),
        ([{"role": "user", "content": "x", "created_at": "soon"}], "'soon' is no ISO 8601 time"),
        ([{"role": "user", "content": "x", "created_at": "9999-12-31T23:59:59Z"}], "far in the future"),
        ([{"role": "user", "content": "x", "created_at": "0001-01-01T00:00:00+23:59"}], "created_at"),
        ({"history": [], "title": 5}, "title should be text"),
        ({"history": [], "conversation_id": []}, "conversation_id should be text"),
        ({"history": [], "conversation_id": "a\nb"}, "conversation_id 'a"),
        ({"history": [], "conversation_id": "x" * 201}, "conversation_id has more than 200"),
    ],
)
def test_wrong_data_is_refused_naming_the_item(store: ConversationStore, data: Any, told: str) -> None:
    before = store.list()
    with pytest.raises(InvalidImport, match=told):
        import_conversation(store, data)
    assert store.list() == before


def test_an_import_that_fails_leaves_nothing(store: ConversationStore) -> None:
    good = [{"role": "user", "content": "x"}] * 3
    with pytest.raises(InvalidImport):
        import_conversation(store, [*good, {"role": "user"}], "new")
    with pytest.raises(ConversationNotFound):
        store.get("new")
    with store.database.write() as connection:
        connection.execute("PRAGMA max_page_count = 40")
    with pytest.raises(StoreError):
        import_conversation(store, [{"role": "user", "content": "x" * 100_000}] * 10, "new")
    with pytest.raises(ConversationNotFound):
        store.get("new")


def test_too_many_messages_are_refused(store: ConversationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MAX_MESSAGES", 2)
    with pytest.raises(InvalidImport, match="3 messages; at most 2"):
        import_conversation(store, [{"role": "user", "content": "x"}] * 3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\x00\x01", "not JSON"),
        (b'["\xff"]', "not UTF-8"),
        ("[]".encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5000, "not JSON"),
        (b'{"history": NaN}', "a number"),
    ],
)
def test_a_hostile_file_is_refused(
    store: ConversationStore, tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "conversation_history.json"
    path.write_bytes(content)
    with pytest.raises(InvalidImport, match=told):
        load_conversation(store, path)


def test_a_missing_or_huge_or_strange_file_is_refused(
    store: ConversationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidImport, match="no file 'nope.json'"):
        load_conversation(store, tmp_path / "nope.json")
    with pytest.raises(InvalidImport, match="no file"):
        load_conversation(store, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidImport, match="no file"):
        load_conversation(store, tmp_path / "pipe")
    monkeypatch.setattr(transfer, "MAX_FILE_BYTES", 1024)
    (tmp_path / "huge.json").write_bytes(b" " * 1025)
    with pytest.raises(InvalidImport, match="larger than"):
        load_conversation(store, tmp_path / "huge.json")


def test_a_file_with_a_byte_order_mark_is_read(store: ConversationStore, tmp_path: Path) -> None:
    path = tmp_path / "windows.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([{"role": "user", "content": "hi"}]).encode())
    assert load_conversation(store, path, "windows").turn_count == 1


def test_saving_replaces_the_file_in_one_step_and_leaves_no_scraps(
    store: ConversationStore, tmp_path: Path
) -> None:
    talk(store)
    folder = tmp_path / "exports"
    folder.mkdir()
    path = folder / "conversation_history.json"
    path.write_text("older")
    save_conversation(store, "default", path)
    assert json.loads(path.read_text("utf-8")) == export_conversation(store, "default")
    assert list(folder.iterdir()) == [path]


def test_a_file_that_cannot_be_written_leaves_the_older_one(store: ConversationStore, tmp_path: Path) -> None:
    talk(store)
    with pytest.raises(StoreError):
        save_conversation(store, "default", tmp_path / "no" / "such" / "folder.json")
    (tmp_path / "taken").mkdir()
    with pytest.raises(StoreError):
        save_conversation(store, "default", tmp_path / "taken")
    assert not list(tmp_path.glob(".*partial"))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10) | st.sampled_from(["user", "assistant"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "history", "message_id", "created_at", "title"]), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(json_values)
def test_any_data_is_imported_or_refused(store: ConversationStore, data: Any) -> None:
    try:
        conversation = import_conversation(store, data)
    except InvalidImport as error:
        assert error.message
        assert error.hint
    else:
        assert store.get(conversation.conversation_id) == conversation


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=20)), max_size=8))
def test_what_goes_in_comes_out(store: ConversationStore, history: list[tuple[str, str]]) -> None:
    history = [(role, text.replace("\x00", "")) for role, text in history]
    conversation = import_conversation(store, [{"role": r, "content": c} for r, c in history])
    kept = [
        (role, text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")) for role, text in history
    ]
    assert said(store, conversation.conversation_id) == kept


def test_what_was_said_under_a_clock_a_year_ahead_comes_back(store: ConversationStore) -> None:
    later = timestamp(datetime.now(UTC) + timedelta(days=365))
    store.add_message("default", "user", "From next year.", created_at=later)
    exported = export_conversation(store, "default")
    assert import_conversation(store, exported, "copy").turn_count == 1
    assert said(store, "copy") == [("user", "From next year.")]


def test_a_device_is_not_replaced_by_a_file(store: ConversationStore, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(StoreError, match="is no file"):
        save_conversation(store, "default", pipe)
    assert pipe.is_fifo() and [one.name for one in tmp_path.iterdir() if one.name.endswith("partial")] == []
