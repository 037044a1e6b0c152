"""What is in the outbox survives crashes and full disks, and goes only by being seen or deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
from mobile_sync.errors import EntryNotFound
from mobile_sync.outbox import EntryKind, EntryState, Outbox
from shared_context.errors import StoreFull
from support.small_disk import fill, small_disk


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.db")


def test_entries_keep_their_order_and_their_content(outbox: Outbox) -> None:
    ids = [outbox.add(EntryKind.MESSAGE, "a", {"message": f"Nº {n} 日本"}).entry_id for n in range(5)]
    assert [entry.entry_id for entry in outbox.entries()] == ids
    assert outbox.get(ids[3]).body == {"message": "Nº 3 日本"}
    assert {entry.state for entry in outbox.entries("a")} == {EntryState.QUEUED}
    assert outbox.entries("b") == []


def test_an_id_is_kept_once(outbox: Outbox) -> None:
    outbox.add(EntryKind.MESSAGE, "a", {"message": "first"}, entry_id="x")
    again = outbox.add(EntryKind.MESSAGE, "a", {"message": "second"}, entry_id="x")
    assert again.body == {"message": "first"}
    assert len(outbox.entries()) == 1


def test_what_a_killed_process_was_sending_is_unclear(tmp_path: Path) -> None:
    first = Outbox(tmp_path / "outbox.db")
    sent, waiting = (first.add(EntryKind.MESSAGE, "a", {"message": text}).entry_id for text in "ab")
    first.mark(sent, EntryState.SENDING)
    # No close: the process is gone.
    second = Outbox(tmp_path / "outbox.db")
    assert second.get(sent).state is EntryState.UNCLEAR
    assert second.get(waiting).state is EntryState.QUEUED


def test_the_owner_retries_or_deletes(outbox: Outbox) -> None:
    refused = outbox.add(EntryKind.MESSAGE, "a", {"message": "x"}).entry_id
    outbox.mark(refused, EntryState.REFUSED, problem="too long")
    assert outbox.get(refused).problem == "too long"
    assert outbox.retry(refused).state is EntryState.QUEUED
    outbox.mark(refused, EntryState.UNCLEAR)
    assert outbox.delete(refused).state is EntryState.UNCLEAR
    with pytest.raises(EntryNotFound):
        outbox.retry(refused)
    outbox.mark(refused, EntryState.ANSWERED)  # by whoever was sending it
    assert outbox.entries() == []


def test_a_full_disk_refuses_what_is_new_and_keeps_what_is_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        outbox = Outbox(disk / "outbox.db")
        kept = outbox.add(EntryKind.MESSAGE, "a", {"message": "kept"}).entry_id
        filler = fill(disk)
        with pytest.raises(StoreFull, match="was not kept"):
            for _ in range(50):
                outbox.add(EntryKind.MESSAGE, "a", {"message": "x" * 20_000})
        assert outbox.get(kept).body == {"message": "kept"}
        before = len(outbox.entries())
        filler.unlink()
        outbox.add(EntryKind.MESSAGE, "a", {"message": "again"})
        assert len(outbox.entries()) == before + 1
        outbox.close()


def test_a_full_disk_does_not_keep_the_outbox_from_being_opened(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        with Outbox(disk / "outbox.db") as outbox:
            entry_id = outbox.add(EntryKind.MESSAGE, "a", {"message": "kept"}).entry_id
        # SQLite itself needs its shared memory file, for which the data folder has a reserve.
        (disk / "room").write_bytes(b"x" * 128 * 1024)
        fill(disk)
        (disk / "room").unlink()
        with Outbox(disk / "outbox.db") as outbox:
            assert outbox.get(entry_id).body == {"message": "kept"}
