"""A full disk can be read: the reserve makes way for what SQLite needs to open its files."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_context.conversations.store import ConversationStore
from shared_context.errors import SharedContextError
from shared_context.storage import reserve
from support.small_disk import small_disk


def fill(folder: Path) -> None:
    with pytest.raises(OSError, match="No space"), (folder / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_on_a_full_disk_the_reserve_makes_way_and_the_memory_can_be_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_kib=12 * 1024) as data:
        reserve.prepare(data)
        assert (data / reserve.FILE_NAME).stat().st_size == reserve.SIZE
        with ConversationStore.open(data / "memory.db") as store:
            conversation = store.create().conversation_id
        fill(data)
        with pytest.raises(SharedContextError):
            ConversationStore.open(data / "memory.db").list(limit=1)
        reserve.prepare(data)
        with ConversationStore.open(data / "memory.db") as store:
            assert store.get(conversation).conversation_id == conversation


def test_it_comes_back_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_kib=12 * 1024) as data:
        reserve.prepare(data)
        fill(data)
        reserve.prepare(data)
        reserve.prepare(data)
        assert not (data / reserve.FILE_NAME).exists()
        (data / "fill").unlink()
        reserve.prepare(data)
        assert (data / reserve.FILE_NAME).exists()
        assert [path.name for path in data.iterdir()] == [reserve.FILE_NAME]


def test_a_folder_that_is_not_there_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    reserve.prepare(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
