"""What is durable: the history beside the documents, compaction, a full disk."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from shared_context.documents.context_folder import ContextFolder
from shared_context.errors import StoreFull
from support.context_files import file_of

OpenFolder = Callable[..., ContextFolder]

PROJECT, BRIEFING, LOG = "PROJECT_CONTEXT.md", "SESSION_BRIEFING.md", "SESSION_LOG.md"


def test_plain_git_reads_the_history(open_folder: OpenFolder, tmp_path: Path) -> None:
    folder = open_folder(project="house")
    old = folder.document(BRIEFING)
    folder.edit(BRIEFING, "new\n", base_version=None, author="Ana's <phone>\nx")

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path / "desktop" / "state" / "history.git"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert git("log", "-1", "--format=%an", "--", f"house/{BRIEFING}") == "Ana's  phone x\n"
    assert git("show", f"main:house/{BRIEFING}") == "new\n"
    assert git("show", old.version) == old.text
    assert git("rev-list", "--count", "main").strip() == "5"
    assert git("fsck", "--strict") == ""


def test_a_damaged_history_is_moved_aside_and_reported(open_folder: OpenFolder, tmp_path: Path) -> None:
    folder = open_folder()
    folder.append_entry("x")
    folder.close()
    history = tmp_path / "desktop" / "state" / "history.git"
    (history / "refs" / "heads" / "main").write_text("0" * 39 + "1\n")
    folder = open_folder()
    assert any("history" in problem for problem in folder.problems())
    folder.append_entry("y")
    git = ["git", "-C", str(history), "show", f"main:{LOG}"]
    assert "\ny\n" in subprocess.run(git, capture_output=True, text=True, check=True).stdout


def test_a_lock_left_by_a_killed_process_does_not_stop_the_history(
    open_folder: OpenFolder, tmp_path: Path
) -> None:
    open_folder().close()
    history = tmp_path / "desktop" / "state" / "history.git"
    (history / "refs" / "heads" / "main.lock").touch()
    folder = open_folder()
    folder.append_entry("x")
    assert folder.problems() == []


def test_many_changes_are_compacted_and_nothing_is_lost(
    open_folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared_context.documents.document_database.COMPACT_AFTER", 5)
    folder = open_folder()
    for number in range(20):
        folder.append_entry(f"entry {number}")
    documents = folder.documents()
    folder = open_folder()
    assert folder.documents() == documents
    assert folder.update_since(folder.state_vector())[:1] == b"\0"


def test_a_full_disk_refuses_an_edit_and_takes_in_a_file_once_there_is_room(folder: ContextFolder) -> None:
    writer = folder._store.memory._database._database._writer
    before = folder.document(PROJECT)
    vector = folder.state_vector()
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    limit = writer.execute("PRAGMA max_page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")
    large = "".join(f"line {number}\n" for number in range(5000))
    with pytest.raises(StoreFull):
        folder.edit(PROJECT, large, base_version=None)
    assert (folder.document(PROJECT), folder.state_vector()) == (before, vector)
    assert file_of(folder, PROJECT).read_text() == before.text
    file_of(folder, BRIEFING).write_text(large)
    assert folder.document(BRIEFING).text != large
    assert any("could not be stored" in problem for problem in folder.problems())
    writer.execute(f"PRAGMA max_page_count = {limit}")
    assert folder.document(BRIEFING).text == large
