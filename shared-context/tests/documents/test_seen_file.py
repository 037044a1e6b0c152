"""A disk that is taken away and comes back. To the program a rename looks the same as a mount."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.document_names import BRIEFING, LOG


class Disk:
    def __init__(self, tmp_path: Path) -> None:
        self.mount, self._away = tmp_path / "disk", tmp_path / "elsewhere"
        self.folder = self.mount / "context"
        self._state = tmp_path / "state"
        self.documents = self.open()

    def open(self) -> ContextFolder:
        self.documents = ContextFolder(self.folder, state=self._state)
        return self.documents

    def take_away(self, leaves_mount_point: bool) -> None:
        self.mount.rename(self._away)
        if leaves_mount_point:
            self.folder.mkdir(parents=True)

    def bring_back(self) -> None:
        if self.mount.exists():
            self.mount.rename(self.mount.with_name("mount point"))
        self._away.rename(self.mount)

    def elsewhere(self, name: str) -> Path:
        return self._away / "context" / name


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.documents.close()


away = pytest.mark.parametrize("leaves_mount_point", [True, False])
restart = pytest.mark.parametrize("restarted", ["", "away", "back"])


@away
@restart
def test_a_folder_that_vanishes_and_returns_is_no_edit(
    disk: Disk, leaves_mount_point: bool, restarted: str
) -> None:
    before = disk.documents.edit(BRIEFING, "one\ntwo\n").text
    disk.take_away(leaves_mount_point)
    disk.documents.documents()
    if restarted == "away":
        disk.documents.close()
        disk.open()
    disk.documents.edit(BRIEFING, "one\ntwo\nwritten meanwhile\n")
    _, entry_id = disk.documents.append_entry("Said meanwhile.")
    if restarted == "back":
        disk.documents.close()
    disk.bring_back()
    if restarted == "back":
        disk.open()
    assert before == "one\ntwo\n"
    assert disk.documents.document(BRIEFING).text == "one\ntwo\nwritten meanwhile\n"
    assert (disk.folder / BRIEFING).read_text() == "one\ntwo\nwritten meanwhile\n"
    assert entry_id in disk.documents.document(LOG).text
    assert entry_id in (disk.folder / LOG).read_text()
    assert disk.documents.conflicts() == []


@away
def test_what_was_edited_on_the_disk_while_it_was_elsewhere_is_merged(
    disk: Disk, leaves_mount_point: bool
) -> None:
    disk.documents.edit(BRIEFING, "one\ntwo\nthree\n")
    disk.take_away(leaves_mount_point)
    disk.documents.documents()
    disk.documents.edit(BRIEFING, "one\ntwo\nthree\nhere\n")
    disk.elsewhere(BRIEFING).write_text("elsewhere\ntwo\nthree\n")
    disk.bring_back()
    assert disk.documents.document(BRIEFING).text == "elsewhere\ntwo\nthree\nhere\n"


def test_the_owner_is_told_that_a_disk_is_away_and_nothing_is_written_in_its_place(disk: Disk) -> None:
    disk.take_away(leaves_mount_point=False)
    disk.documents.edit(BRIEFING, "kept\n")
    assert not disk.mount.exists()
    assert any("is not there" in problem for problem in disk.documents.problems())


def test_an_older_copy_put_in_the_place_of_the_folder_takes_nothing_back(disk: Disk) -> None:
    disk.documents.edit(BRIEFING, "old\n")
    disk.take_away(leaves_mount_point=True)
    (disk.folder / BRIEFING).write_text("old\n")
    disk.documents.edit(BRIEFING, "old\nnew\n")
    disk.documents.documents()
    assert disk.documents.document(BRIEFING).text == "old\nnew\n"


def test_a_file_deleted_with_its_folder_is_restored(disk: Disk) -> None:
    text = disk.documents.edit(BRIEFING, "precious\n").text
    for file in disk.folder.iterdir():
        file.unlink()
    disk.folder.rmdir()
    disk.documents.close()
    disk.open()
    assert (disk.folder / BRIEFING).read_text() == text
