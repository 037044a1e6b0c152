"""A file that is deleted, moved or replaced while it is open: noticed at the next use, nothing is lost in silence."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from shared_context.conversations.store import ConversationStore
from shared_context.errors import StoreGone, StoreLocked
from shared_context.storage.folder_lock import LOCK_FILE, FolderLock
from support.children import Child


def delete(folder: Path) -> None:
    shutil.rmtree(folder)


def move(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))


def delete_the_file(folder: Path) -> None:
    (folder / "memory.db").unlink()


def replace_the_folder(folder: Path) -> None:
    move(folder)
    with ConversationStore.open(folder / "memory.db"):
        pass


def replace_with_a_copy(folder: Path) -> None:
    shutil.copy(folder / "memory.db", folder / "copy.db")
    (folder / "copy.db").replace(folder / "memory.db")


LOSSES = [delete, move, delete_the_file, replace_the_folder, replace_with_a_copy]


@pytest.mark.parametrize("lose", LOSSES)
def test_nothing_is_read_or_written_any_more(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    with ConversationStore.open(tmp_path / "data" / "memory.db") as store:
        store.add_message("default", "user", "kept")
        lose(tmp_path / "data")
        with pytest.raises(StoreGone, match="memory.db"):
            store.add_message("default", "user", "lost")
        with pytest.raises(StoreGone) as caught:
            store.messages("default")
        assert caught.value.status == 503 and "restart" in (caught.value.hint or "")


def test_a_folder_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with ConversationStore.open(tmp_path / "data" / "memory.db") as store:
        move(tmp_path / "data")
        with pytest.raises(StoreGone):
            store.list()
        (tmp_path / "moved").rename(tmp_path / "data")
        store.add_message("default", "user", "back")
        assert [message.content for message in store.messages("default")] == ["back"]


@pytest.mark.parametrize("lose", [delete, move, replace_the_folder])
def test_a_locked_folder_that_is_gone_is_noticed(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    with FolderLock(tmp_path / "data") as lock:
        lock.check()
        lose(tmp_path / "data")
        with pytest.raises(StoreGone):
            lock.check()


def test_a_lock_file_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    with FolderLock(tmp_path) as lock:
        (tmp_path / LOCK_FILE).unlink()
        lock.check()
        with pytest.raises(StoreLocked):
            FolderLock(tmp_path)
        lock.check()


def test_a_lock_that_another_process_took_meanwhile_is_noticed(tmp_path: Path) -> None:
    hold = """
        import sys
        from pathlib import Path
        from shared_context.storage.folder_lock import FolderLock
        lock = FolderLock(Path(sys.argv[1]))
        print("held")
        sys.stdin.read()
    """
    with FolderLock(tmp_path) as lock:
        (tmp_path / LOCK_FILE).unlink()
        with Child(hold, tmp_path) as child:
            assert child.line() == "held"
            for _ in range(2):
                with pytest.raises(StoreLocked):
                    lock.check()
            child.kill()
        lock.check()


@pytest.mark.parametrize("existing", [False, True])
def test_only_the_owner_may_read_a_database_whatever_the_folder_allows(
    tmp_path: Path, existing: bool
) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "memory.db"
    if existing:
        with ConversationStore.open(path):
            pass
        path.chmod(0o644)
    with ConversationStore.open(path) as store:
        store.add_message("default", "user", "private")
        files = sorted(tmp_path.iterdir())
        assert {file.name for file in files} == {"memory.db", "memory.db-wal", "memory.db-shm"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
