from __future__ import annotations

import threading
from pathlib import Path

import pytest
from shared_context.errors import StoreError, StoreLocked
from shared_context.storage.folder_lock import FolderLock
from support.children import Child

HOLD = """
    import sys
    from pathlib import Path
    from shared_context.storage.folder_lock import FolderLock
    lock = FolderLock(Path(sys.argv[1]))
    print("held")
    sys.stdin.read()
"""


def test_a_folder_held_by_another_process_is_refused_until_that_one_dies(tmp_path: Path) -> None:
    with Child(HOLD, tmp_path / "data") as child:
        assert child.line() == "held"
        with pytest.raises(StoreLocked, match="in use by another process") as caught:
            FolderLock(tmp_path / "data")
        assert "another data folder" in (caught.value.hint or "")
        child.kill()
        FolderLock(tmp_path / "data").release()


def test_it_can_be_taken_again_after_release(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        pass
    with FolderLock(tmp_path) as lock:
        lock.release()
        lock.release()


def test_two_servers_in_one_process_cannot_share_a_folder(tmp_path: Path) -> None:
    with FolderLock(tmp_path), pytest.raises(StoreLocked):
        FolderLock(tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        FolderLock(tmp_path / "file" / "data")


def test_another_thread_may_release_it(tmp_path: Path) -> None:
    held = FolderLock(tmp_path)
    thread = threading.Thread(target=held.release)
    thread.start()
    thread.join(10)
    FolderLock(tmp_path).release()
