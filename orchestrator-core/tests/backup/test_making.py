from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from orchestrator_core.backup.archive import check_archive, read_archive
from orchestrator_core.backup.making import STEPS, archives_of, back_up, default_target, replica_of
from orchestrator_core.backup.restoring import restore
from orchestrator_core.backup.snapshot import DataPlace, DataSnapshot, take_snapshot
from orchestrator_core.errors import BackupError
from shared_context.errors import StoreCorrupt, StoreError, StoreFull
from support.children import Child
from support.data_folders import fill
from support.small_disk import small_disk


def names(archive: Path) -> set[str]:
    return {entry.path for entry in check_archive(archive).files}


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".orchestrator-backup.lock")


def test_it_holds_everything_that_cannot_be_had_again(place: DataPlace, tmp_path: Path):
    made = back_up(place, tmp_path / "backups")
    found = names(made.path)
    assert {
        "data/memory.db",
        "data/runs.db",
        "data/vps.json",
        "data/context/SESSION_LOG.md",
        "data/context-state/documents.db",
        "data/context-state/history.git/HEAD",
        "data/context-state/history.git/refs/heads/main",
        "settings/orchestrator.yaml",
    } <= found
    assert not any("models" in name or "search" in name or "lock" in name for name in found)
    assert made.manifest.replica == replica_of(place.data)
    assert left_in(tmp_path / "backups") == [made.path.name]


def test_only_the_owner_can_read_it(place: DataPlace, tmp_path: Path):
    before = os.umask(0)
    try:
        made = back_up(place, tmp_path / "backups")
    finally:
        os.umask(before)
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.path.parent.stat().st_mode & 0o777 == 0o700


def test_documents_kept_elsewhere_are_in_it_but_not_what_lies_beside_them(tmp_path: Path):
    data, context = tmp_path / "data", tmp_path / "repository"
    fill(data, "first", context=context)
    (context / "source.py").write_text("not ours")
    (context / "house").mkdir()
    (context / "house" / "SESSION_LOG.md").write_text("of a project")
    made = back_up(DataPlace(data, context), tmp_path / "backups")
    documents = {name for name in names(made.path) if name.startswith("documents/")}
    assert {"documents/SESSION_LOG.md", "documents/house/SESSION_LOG.md"} <= documents
    assert not any("source.py" in name for name in documents)


def test_retention_keeps_the_newest_of_this_replica_only(place: DataPlace, tmp_path: Path):
    to = tmp_path / "backups"
    other_data = tmp_path / "other"
    fill(other_data, "of another replica")
    other = back_up(DataPlace(other_data, other_data / "context"), to).path
    (to / "orchestrator-backup-notes.txt").write_text("mine")
    made = [back_up(place, to, keep=keep).path for keep in (3, 3, 3, 3, 2)]
    assert archives_of(to, replica_of(place.data)) == made[-2:]
    assert left_in(to) == sorted(
        [other.name, "orchestrator-backup-notes.txt", *(one.name for one in made[-2:])]
    )
    with pytest.raises(BackupError, match="keep is 0"):
        back_up(place, to, keep=0)


def test_a_damaged_database_is_refused_and_older_archives_stay(place: DataPlace, tmp_path: Path):
    to = tmp_path / "backups"
    good = back_up(place, to, keep=1).path
    content = bytearray((place.data / "memory.db").read_bytes())
    content[8192:12288] = b"\xff" * 4096
    (place.data / "memory.db").write_bytes(content)
    with pytest.raises(StoreCorrupt):
        back_up(place, to, keep=1)
    assert left_in(to) == [good.name]


def test_a_target_in_the_data_or_no_data_is_refused(place: DataPlace, tmp_path: Path):
    with pytest.raises(BackupError, match="part of what is backed up"):
        back_up(place, place.data / "backups")
    nothing = tmp_path / "nothing"
    with pytest.raises(BackupError, match="no data folder"):
        back_up(DataPlace(nothing, nothing / "context"), tmp_path / "backups")
    assert not nothing.exists()
    assert default_target(place.data).parent == place.data.parent


def test_two_backups_to_one_folder_take_turns(place: DataPlace, tmp_path: Path):
    def second(name: str) -> None:
        if name == "written":
            with pytest.raises(BackupError, match="Another backup"):
                back_up(place, tmp_path / "backups")

    made = back_up(place, tmp_path / "backups", step=second)
    check_archive(made.path)


def test_data_replaced_while_it_is_copied_is_noticed(
    place: DataPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    archive = back_up(place, tmp_path / "backups").path

    def replaced_meanwhile(place: DataPlace, target: Path) -> DataSnapshot:
        snapshot = take_snapshot(place, target)
        restore(archive, place)
        return snapshot

    monkeypatch.setattr("orchestrator_core.backup.making.take_snapshot", replaced_meanwhile)
    with pytest.raises(BackupError, match="replaced while"):
        back_up(place, tmp_path / "backups")
    assert left_in(tmp_path / "backups") == [archive.name]


def test_a_full_disk_leaves_nothing_behind_and_older_archives_alone(place: DataPlace, tmp_path: Path):
    with small_disk(tmp_path / "disk", 2048) as disk:
        to = disk / "backups"
        good = back_up(place, to, keep=1).path
        (place.data / "exports").mkdir()
        (place.data / "exports" / "large").write_bytes(os.urandom(1_500_000))
        with pytest.raises(StoreFull):
            back_up(place, to, keep=1)
        assert left_in(to) == [good.name]
        check_archive(good)
        shutil.rmtree(place.data / "exports")
        assert back_up(place, to, keep=1).removed == [good]


def test_a_target_that_cannot_be_written_is_said(place: DataPlace, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        back_up(place, tmp_path / "file" / "backups")


def test_what_is_still_in_the_write_ahead_log_is_in_it(place: DataPlace, tmp_path: Path):
    open_now = sqlite3.connect(place.data / "memory.db")
    open_now.execute("PRAGMA wal_autocheckpoint = 0")
    open_now.execute("CREATE TABLE only_in_the_log (x)")
    open_now.commit()
    made = back_up(place, tmp_path / "backups")
    copy = tmp_path / "copy.db"

    def take(entry, pieces) -> None:
        content = b"".join(pieces)
        if entry.path == "data/memory.db":
            copy.write_bytes(content)

    read_archive(made.path, take)
    open_now.close()
    with sqlite3.connect(copy) as connection:
        connection.execute("SELECT * FROM only_in_the_log")
    connection.close()


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from orchestrator_core.backup.making import back_up
    from orchestrator_core.backup.snapshot import DataPlace

    data, to, fatal = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

    def step(name):
        if name == fatal:
            print("killed at", name)
            os.kill(os.getpid(), signal.SIGKILL)

    back_up(DataPlace(data, data / "context"), to, keep=1, step=step)
    print("survived")
"""


@pytest.mark.parametrize("fatal", STEPS)
def test_a_kill_leaves_a_whole_archive_or_the_old_one(place: DataPlace, tmp_path: Path, fatal: str):
    to = tmp_path / "backups"
    old = back_up(place, to).path
    with Child(KILLED, place.data, to, fatal) as child:
        assert child.rest() == [f"killed at {fatal}"]
    archives = archives_of(to, replica_of(place.data))
    for archive in archives:
        check_archive(archive)
    finished = fatal in ("in-place", "old-removed")
    assert (old in archives) == (fatal != "old-removed")
    assert len(archives) == (2 if fatal == "in-place" else 1)
    assert finished == (archives[-1] != old)
    again = back_up(place, to, keep=1)
    assert left_in(to) == [again.path.name]
