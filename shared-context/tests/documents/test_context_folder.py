"""A context folder as a whole: what it is filled with, its projects, who may open it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from shared_context.documents.context_folder import DOCUMENT_NAMES, ContextFolder
from shared_context.errors import DocumentNotFound, DocumentRejected, StoreLocked
from support.context_files import file_of

OpenFolder = Callable[..., ContextFolder]

PORTFOLIO, PROJECT, BRIEFING, LOG = DOCUMENT_NAMES


def test_a_new_folder_is_filled_with_the_starter_documents(folder: ContextFolder) -> None:
    documents = folder.documents()
    assert [document.name for document in documents] == list(DOCUMENT_NAMES)
    for document in documents:
        assert document.text.startswith("# ")
        assert file_of(folder, document.name).read_text("utf-8") == document.text


def test_the_starters_leave_room_in_a_small_window(folder: ContextFolder) -> None:
    assert sum(len(document.text.split()) for document in folder.documents()) <= 350


def test_an_existing_folder_is_adopted_as_it_is(open_folder: OpenFolder, tmp_path: Path) -> None:
    context = tmp_path / "desktop" / "context"
    context.mkdir(parents=True)
    (context / BRIEFING).write_bytes(b"mine\r\nno newline at the end")
    folder = open_folder()
    assert folder.document(BRIEFING).text == "mine\r\nno newline at the end"
    assert (context / BRIEFING).read_bytes() == b"mine\r\nno newline at the end"
    assert (context / LOG).is_file()


def test_a_folder_that_starts_with_a_broken_file_offers_the_other_documents(
    open_folder: OpenFolder, tmp_path: Path
) -> None:
    context = tmp_path / "desktop" / "context"
    context.mkdir(parents=True)
    (context / BRIEFING).write_bytes(b"\xff")
    folder = open_folder()
    assert [document.name for document in folder.documents()] == [PORTFOLIO, PROJECT, LOG]
    with pytest.raises(DocumentNotFound, match="UTF-8"):
        folder.document(BRIEFING)
    assert (context / BRIEFING).read_bytes() == b"\xff"


def test_documents_survive_a_restart_with_version_author_and_time(open_folder: OpenFolder) -> None:
    folder = open_folder()
    folder.edit(PROJECT, "kept\n", base_version=None, author="vps")
    documents = folder.documents()
    assert open_folder().documents() == documents


@pytest.mark.parametrize("name", ["", "README.md", "../SESSION_LOG.md", "session_log.md", "x" * 10_000, "\0"])
def test_only_the_four_names_are_documents(folder: ContextFolder, name: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: folder.document(name),
        lambda: folder.edit(name, "x", base_version=None),
        lambda: folder.history(name),
        lambda: folder.text_at(name, "0" * 12),
        lambda: folder.restore(name, "0" * 12),
    ]
    for call in calls:
        with pytest.raises(DocumentNotFound):
            call()


def test_copies_of_other_tools_are_reported_and_not_read(folder: ContextFolder) -> None:
    names = [
        "SESSION_LOG.sync-conflict-20260101-120000-ABCDEFG.md",
        "SESSION_BRIEFING (Ana's conflicted copy 2026-01-01).md",
    ]
    for name in names:
        (folder.folder / name).write_text("theirs")
    (folder.folder / "notes.md").write_text("a file of the user's")
    assert [problem.split(" is a copy")[0] for problem in folder.problems()] == sorted(names, reverse=False)
    assert "theirs" not in "".join(document.text for document in folder.documents())


def test_each_project_has_its_own_documents_and_one_portfolio(open_folder: OpenFolder) -> None:
    folder = open_folder(project="house")
    other = folder.in_project("garden", create=True)
    folder.edit(BRIEFING, "house\n", base_version=None)
    other.edit(BRIEFING, "garden\n", base_version=None)
    other.edit(PORTFOLIO, "all\n", base_version=None)
    assert folder.document(BRIEFING).text == "house\n"
    assert folder.document(PORTFOLIO).text == "all\n"
    assert (folder.folder / "garden" / BRIEFING).read_text() == "garden\n"
    assert sorted(path.name for path in folder.folder.glob("*.md")) == [PORTFOLIO]
    assert folder.projects() == ["garden", "house"]
    with pytest.raises(DocumentNotFound, match="gardn"):
        folder.in_project("gardn")
    assert not (folder.folder / "gardn").exists()


@pytest.mark.parametrize(
    "project",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        ".hidden",
        "a.",
        "a ",
        "NUL",
        "con.txt",
        "a\0b",
        "x" * 65,
        LOG,
        "a:b",
    ],
)
def test_a_project_name_is_never_a_path(open_folder: OpenFolder, project: str) -> None:
    with pytest.raises(DocumentRejected):
        open_folder(project=project)


@pytest.mark.parametrize("project", ["house", "Haus am See", "v1.2", "日本", "a", "snake_case-2"])
def test_ordinary_project_names_work(open_folder: OpenFolder, project: str) -> None:
    folder = open_folder(project=project)
    assert (folder.folder / project / LOG).is_file()
    assert folder.projects() == [project]


def test_a_second_process_is_refused(open_folder: OpenFolder, tmp_path: Path) -> None:
    folder = open_folder()
    with pytest.raises(StoreLocked):
        ContextFolder(folder.folder, state=tmp_path / "desktop" / "state")
    thread = threading.Thread(target=folder.close)
    thread.start()
    thread.join()
    ContextFolder(folder.folder, state=tmp_path / "desktop" / "state").close()


def test_closing_twice_is_fine(folder: ContextFolder) -> None:
    folder.close()
    folder.close()


def test_a_repository_of_the_users_is_never_touched(open_folder: OpenFolder, tmp_path: Path) -> None:
    context = tmp_path / "desktop" / "context"
    context.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(context)], check=True)
    before = {path: path.stat().st_mtime_ns for path in (context / ".git").rglob("*")}
    folder = open_folder()
    folder.append_entry("x")
    assert {path: path.stat().st_mtime_ns for path in (context / ".git").rglob("*")} == before


def test_half_an_update_is_refused_and_the_whole_still_applies(open_folder: OpenFolder) -> None:
    folder, other = open_folder(), open_folder("vps", starters=False)
    update = folder.update_since()
    for length in range(0, len(update), 97):
        with pytest.raises(DocumentRejected):
            other.apply_update(update[:length], "desktop")
    assert set(other.apply_update(update, "desktop")) == set(DOCUMENT_NAMES)


def test_somebody_else_writes_the_same_documents_under_a_name(folder: ContextFolder) -> None:
    other = folder.written_by("red pen")
    assert other.append_entry("Painted.")[0].author == "red pen"
    assert other.document(LOG) == folder.document(LOG)
    assert other.in_project("house", create=True).edit(BRIEFING, "# House\n").author == "red pen"
    assert folder.edit(BRIEFING, "# Now\n").author == "desktop"
    other.close()
    assert folder.document(BRIEFING).text == "# Now\n"
    with pytest.raises(DocumentRejected, match="author"):
        folder.written_by("<!-- entry:x -->")
