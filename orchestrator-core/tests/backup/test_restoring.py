from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from orchestrator_core.backup.making import back_up
from orchestrator_core.backup.restoring import STEPS, restore
from orchestrator_core.backup.snapshot import DataPlace
from orchestrator_core.errors import BackupDamaged, BackupError, BackupFromFuture
from shared_context.documents.context_folder import ContextFolder
from shared_context.errors import StoreFull, StoreLocked
from shared_context.storage.folder_lock import FolderLock
from support.children import Child
from support.data_folders import fill, logged, said
from support.small_disk import small_disk


@pytest.fixture
def archive(place: DataPlace, tmp_path: Path) -> Path:
    """Of the data as it was; `second` was said since."""
    made = back_up(place, tmp_path / "backups").path
    fill(place.data, "second")
    (place.data / "models" / "new.gguf").write_bytes(b"n" * 2_000_000)
    (place.data / "identity.json").write_text("keys of this machine")
    return made


def beside(place: DataPlace) -> list[Path]:
    return sorted(path for path in place.data.parent.glob("data.*"))


def snapshot_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("lock", "lock.pid")
    }


def test_the_data_is_what_it_was_and_the_former_is_kept(place: DataPlace, archive: Path):
    done = restore(archive, place)
    assert said(place.data) == ["first"]
    log = logged(place.data)
    assert "first" in log and "second" not in log
    assert "first" in (place.data / "vps.json").read_text()
    assert (place.data / "vps.json").stat().st_mode & 0o777 == 0o600
    assert place.data.stat().st_mode & 0o777 == 0o700
    assert done.replaced is not None and beside(place) == [done.replaced]
    assert said(done.replaced) == ["first", "second"]


def test_it_works_where_two_names_cannot_be_exchanged(
    place: DataPlace, archive: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shared_context.storage.atomic._renameat2", None)
    done = restore(archive, place)
    assert said(place.data) == ["first"]
    assert done.replaced is not None and beside(place) == [done.replaced]
    assert said(done.replaced) == ["first", "second"]


def test_models_stay_and_what_can_be_rebuilt_goes(place: DataPlace, archive: Path):
    restore(archive, place)
    assert sorted(path.name for path in (place.data / "models").iterdir()) == ["big.gguf", "new.gguf"]
    assert not (place.data / "search.db").exists()


def test_the_former_data_can_be_discarded(place: DataPlace, archive: Path):
    assert restore(archive, place, discard=True).replaced is None
    assert beside(place) == []
    assert (place.data / "models" / "new.gguf").stat().st_size == 2_000_000
    assert (place.data / "identity.json").read_text() == "keys of this machine"


def test_a_machine_without_data_gets_it(archive: Path, tmp_path: Path):
    data, settings = tmp_path / "new" / "data", tmp_path / "new" / "config" / "orchestrator.yaml"
    done = restore(archive, DataPlace(data, data / "context", settings))
    assert done.replaced is None
    assert said(data) == ["first"]
    assert settings.read_text() == "server:\n  port: 5055\n"
    assert [path.name for path in data.parent.iterdir() if path.name.startswith("data.")] == []


def test_settings_that_are_there_are_not_replaced(place: DataPlace, archive: Path):
    assert place.settings is not None
    assert restore(archive, place).settings is None
    place.settings.write_text("server:\n  port: 6000\n")
    done = restore(archive, place)
    assert place.settings.read_text() == "server:\n  port: 6000\n"
    assert done.settings is not None and "5055" in done.settings.read_text()


def test_a_held_folder_is_refused(place: DataPlace, archive: Path):
    before = snapshot_of(place.data)
    with FolderLock(place.data), pytest.raises(StoreLocked, match="in use"):
        restore(archive, place)
    folder = ContextFolder(place.context, state=place.data / "context-state")
    with pytest.raises(StoreLocked, match="in use"):
        restore(archive, place)
    folder.close()
    assert beside(place) == []
    after = snapshot_of(place.data)
    assert {name for name in before if before[name] != after[name]} <= {"context-state/documents.db"}


def change_byte(archive: Path) -> None:
    plain = bytearray(gzip.decompress(archive.read_bytes()))
    place = plain.rindex(b'{"credential"')
    plain[place + 3] ^= 1
    archive.write_bytes(gzip.compress(plain))


def truncate(archive: Path) -> None:
    os.truncate(archive, archive.stat().st_size - 3)


@pytest.mark.parametrize("damage", [change_byte, truncate])
def test_a_damaged_archive_changes_nothing(place: DataPlace, archive: Path, damage):
    before = snapshot_of(place.data)
    damage(archive)
    with pytest.raises(BackupDamaged):
        restore(archive, place)
    assert snapshot_of(place.data) == before
    assert beside(place) == []


@pytest.mark.parametrize("name", ["memory.db", "runs.db", "context-state/documents.db"])
def test_a_database_from_the_future_changes_nothing(place: DataPlace, tmp_path: Path, name: str):
    connection = sqlite3.connect(place.data / name)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    made = back_up(place, tmp_path / "backups").path
    before = snapshot_of(place.data)
    with pytest.raises(BackupFromFuture, match="999"):
        restore(made, place)
    assert snapshot_of(place.data) == before
    assert beside(place) == []


def test_an_archive_with_something_else_in_it_is_refused(place: DataPlace, tmp_path: Path):
    from orchestrator_core.backup.archive import describe, write_archive

    (tmp_path / "files" / "home").mkdir(parents=True)
    (tmp_path / "files" / "home" / ".bashrc").write_text("evil")
    manifest = describe(tmp_path / "files", created_at="x", program="1", replica=None)
    with (tmp_path / "a.tar.gz").open("wb") as file:
        write_archive(tmp_path / "files", manifest, file)
    with pytest.raises(BackupDamaged, match="'home'"):
        restore(tmp_path / "a.tar.gz", place)
    assert said(place.data) == ["first"]


def test_too_little_space_is_noticed_before_anything_is_extracted(
    place: DataPlace, archive: Path, tmp_path: Path
):
    with small_disk(tmp_path / "disk", 4096) as disk:
        data = disk / "folder" / "data"
        fill(data, "on a small disk")
        before = snapshot_of(data)
        with pytest.raises(BackupError, match="bytes; .* are free"):
            restore(archive, DataPlace(data, data / "context"))
        assert snapshot_of(data) == before
        assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_a_disk_that_fills_up_while_extracting_changes_nothing(
    place: DataPlace, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("orchestrator_core.backup.restoring.SPARE_BYTES", -(10**12))
    with small_disk(tmp_path / "disk") as disk:
        data = disk / "folder" / "data"
        fill(data, "on a small disk")
        (disk / "ballast").write_bytes(b"b" * (shutil.disk_usage(disk).free - 60_000))
        before = snapshot_of(data)
        with pytest.raises(StoreFull):
            restore(archive, DataPlace(data, data / "context"))
        assert snapshot_of(data) == before
        assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_a_disk_of_its_own_as_data_folder_is_refused(archive: Path, tmp_path: Path):
    with small_disk(tmp_path / "disk", 20_000) as disk:
        fill(disk, "at the root")
        before = snapshot_of(disk)
        with pytest.raises(BackupError, match="disk of its own"):
            restore(archive, DataPlace(disk, disk / "context"))
        assert snapshot_of(disk) == before


def test_documents_kept_elsewhere_are_put_back(tmp_path: Path):
    data, context = tmp_path / "data", tmp_path / "repository"
    fill(data, "first", context=context)
    (context / "source.py").write_text("not ours")
    place = DataPlace(data, context)
    made = back_up(place, tmp_path / "backups").path
    fill(data, "second", context=context)
    done = restore(made, place)
    log = logged(data, context)
    assert "first" in log and "second" not in log
    assert [path.name.split(".before-restore")[0] for path in done.documents] == ["SESSION_LOG.md"]
    assert "second" in done.documents[0].read_text()
    assert (context / "source.py").read_text() == "not ours"
    assert restore(made, place, discard=True).documents == []


@pytest.mark.parametrize("was_outside", [False, True], ids=["then inside", "then outside"])
def test_documents_go_where_they_are_kept_now(tmp_path: Path, was_outside: bool):
    data, repository = tmp_path / "data", tmp_path / "repository"
    inside, outside = data / "context", repository
    then, now = (outside, inside) if was_outside else (inside, outside)
    fill(data, "first", context=then)
    log = then / "SESSION_LOG.md"
    log.write_text(log.read_text() + "typed, not taken in\n")
    made = back_up(DataPlace(data, then), tmp_path / "backups").path
    shutil.rmtree(data)
    restore(made, DataPlace(data, now))
    text = logged(data, now)
    assert "first" in text and text.endswith("typed, not taken in\n")


def test_root_gives_the_data_back_to_its_owner(place: DataPlace, archive: Path):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for path in (place.data, *place.data.rglob("*")):
        os.chown(path, 12345, 12346)
    restore(archive, place)
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (place.data, *place.data.rglob("*"))}
    assert owners == {(12345, 12346)}


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from orchestrator_core.backup.restoring import restore
    from orchestrator_core.backup.snapshot import DataPlace

    archive, data, context, fatal = *map(Path, sys.argv[1:4]), sys.argv[4]

    def step(name):
        if name == fatal:
            print("killed at", name)
            os.kill(os.getpid(), signal.SIGKILL)

    restore(archive, DataPlace(data, context), step=step)
    print("survived")
"""

NOT_YET = ("extracted", "checked", "documents-aside", "ready")


@pytest.mark.parametrize("outside", [False, True], ids=["inside", "outside"])
@pytest.mark.parametrize("fatal", STEPS)
def test_a_kill_leaves_the_old_data_or_the_new(tmp_path: Path, fatal: str, outside: bool):
    data = tmp_path / "data"
    context = tmp_path / "repository" if outside else data / "context"
    place = DataPlace(data, context)
    fill(data, "first", context=context)
    made = back_up(place, tmp_path / "backups").path
    fill(data, "second", context=context)
    with Child(KILLED, made, data, context, fatal) as child:
        assert child.rest() == [f"killed at {fatal}"]
    kept = [path for path in beside(place) if ".before-restore-" in path.name]
    if fatal in NOT_YET:
        assert said(data) == ["first", "second"]
        if not (outside and fatal in ("documents-aside", "ready")):
            assert "second" in logged(data, context)
    else:
        assert said(data) == ["first"]
        (former,) = kept
        assert said(former) == ["first", "second"]
    restore(made, place)
    assert said(data) == ["first"]
    log = logged(data, context)
    assert log.count("\nfirst\n") == 1 and "\nsecond\n" not in log
    assert not data.with_name("data.restoring").exists()
