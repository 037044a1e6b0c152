"""Files as people and other programs leave them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.document_names import MAX_DOCUMENT_BYTES, MAX_DOCUMENT_LINES
from shared_context.errors import DocumentRejected
from support.context_files import file_of

OpenFolder = Callable[..., ContextFolder]

PROJECT, BRIEFING, LOG = "PROJECT_CONTEXT.md", "SESSION_BRIEFING.md", "SESSION_LOG.md"


def test_an_edit_on_disk_is_seen_at_once(folder: ContextFolder) -> None:
    before = folder.document(BRIEFING)
    file_of(folder, BRIEFING).write_text("from an editor\n", "utf-8")
    after = folder.document(BRIEFING)
    assert (after.text, after.author) == ("from an editor\n", "desktop")
    assert folder.text_at(BRIEFING, before.version) == before.text


def test_an_edit_on_disk_while_nothing_ran_is_taken_in_at_the_start(open_folder: OpenFolder) -> None:
    folder = open_folder()
    before = folder.document(LOG)
    folder.close()
    with file_of(folder, LOG).open("a") as file:
        file.write("added meanwhile\n")
    folder = open_folder()
    assert folder.document(LOG).text == before.text + "added meanwhile\n"
    assert len(folder.history(LOG)) == 2


@pytest.mark.parametrize(
    "content", [b"\xff\xfe binary", b"x" * (MAX_DOCUMENT_BYTES + 1), b"\n" * (MAX_DOCUMENT_LINES + 1)]
)
def test_a_file_that_is_no_document_is_left_alone_and_reported(folder: ContextFolder, content: bytes) -> None:
    before = folder.document(BRIEFING)
    file = file_of(folder, BRIEFING)
    file.write_bytes(content)
    assert folder.document(BRIEFING) == before
    assert [problem for problem in folder.problems() if problem.startswith(BRIEFING)]
    with pytest.raises(DocumentRejected, match="left alone"):
        folder.edit(BRIEFING, "x", base_version=None)
    assert file.read_bytes() == content
    file.write_bytes(b"mended\n")
    assert folder.document(BRIEFING).text == "mended\n"
    assert folder.problems() == []


def test_a_link_out_of_the_folder_is_not_followed(folder: ContextFolder, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    file = file_of(folder, BRIEFING)
    file.unlink()
    file.symlink_to(secret)
    assert "secret" not in folder.document(BRIEFING).text
    assert any("outside" in problem for problem in folder.problems())
    with pytest.raises(DocumentRejected):
        folder.edit(BRIEFING, "x", base_version=None)
    assert secret.read_text() == "secret\n"


def test_a_link_within_the_folder_stays_a_link(folder: ContextFolder) -> None:
    file = file_of(folder, BRIEFING)
    target = folder.folder / "real.md"
    file.rename(target)
    file.symlink_to("real.md")
    folder.edit(BRIEFING, "through the link\n", base_version=None)
    assert file.is_symlink()
    assert target.read_text() == "through the link\n"


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_something_else_in_the_place_of_a_document_is_left_alone(folder: ContextFolder, kind: str) -> None:
    file = file_of(folder, BRIEFING)
    before = folder.document(BRIEFING)
    file.unlink()
    file.mkdir() if kind == "folder" else os.mkfifo(file)
    assert folder.document(BRIEFING) == before
    assert any("regular file" in problem for problem in folder.problems())


def test_a_document_deleted_while_nothing_ran_is_restored_with_a_notice(open_folder: OpenFolder) -> None:
    folder = open_folder()
    text = folder.edit(BRIEFING, "precious\n", base_version=None).text
    folder.close()
    file_of(folder, BRIEFING).unlink()
    folder = open_folder()
    assert file_of(folder, BRIEFING).read_text() == text == folder.document(BRIEFING).text
    assert any("restored" in problem for problem in folder.problems())


def test_carriage_returns_stay_whatever_a_client_sends(folder: ContextFolder) -> None:
    file = file_of(folder, BRIEFING)
    file.write_bytes(b"one\r\ntwo\r\n")
    assert folder.document(BRIEFING).text == "one\ntwo\n"
    folder.edit(BRIEFING, "one\n2\n", base_version=None)
    assert file.read_bytes() == b"one\r\n2\r\n"
    file_of(folder, PROJECT).write_bytes(b"one\ntwo\n")
    folder.edit(PROJECT, "one\r\n2\r\n", base_version=None)
    assert file_of(folder, PROJECT).read_bytes() == b"one\n2\n"


def test_mixed_endings_and_a_missing_final_newline_are_kept(folder: ContextFolder) -> None:
    content = b"\xef\xbb\xbfone\r\ntwo\n\x0bthree\xe2\x80\xa8four\r"
    file_of(folder, BRIEFING).write_bytes(content)
    text = folder.document(BRIEFING).text
    folder.edit(BRIEFING, text.replace("three", "drei"), base_version=None)
    assert file_of(folder, BRIEFING).read_bytes() == content.replace(b"three", b"drei")


def test_the_mode_of_a_file_is_kept(folder: ContextFolder) -> None:
    file = file_of(folder, BRIEFING)
    file.chmod(0o640)
    folder.edit(BRIEFING, "x\n", base_version=None)
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_read_only_folder_keeps_the_edit_and_writes_it_later(open_folder: OpenFolder) -> None:
    folder = open_folder()
    if os.geteuid() == 0:
        blocked = folder.folder / f".{BRIEFING}.orchestrator-new"
        blocked.mkdir()
        (blocked / "x").touch()
    else:
        folder.folder.chmod(0o555)
    document = folder.edit(BRIEFING, "kept\n", base_version=None)
    assert document.text == "kept\n"
    assert any("could not be written" in problem for problem in folder.problems())
    if os.geteuid() == 0:
        (blocked / "x").unlink()
        blocked.rmdir()
    else:
        folder.folder.chmod(0o755)
    folder.documents()
    assert file_of(folder, BRIEFING).read_text() == "kept\n"


def test_a_conversion_of_line_endings_is_no_edit_of_the_lines(folder: ContextFolder) -> None:
    file = file_of(folder, BRIEFING)
    base = folder.edit(BRIEFING, "one\ntwo\nthree\n")
    file.write_bytes(b"one\r\ntwo\r\nTHREE\r\n")
    edited = folder.edit(BRIEFING, "one\n2\nthree\n", base_version=base.version)
    assert edited.text == "one\n2\nTHREE\n"
    assert file.read_bytes() == b"one\r\n2\r\nTHREE\r\n"
    assert folder.conflicts() == []
    file.write_bytes(b"one\n2\nTHREE\nfour\n")
    assert folder.document(BRIEFING).text == "one\n2\nTHREE\nfour\n"
    folder.edit(BRIEFING, "1\n2\nTHREE\nfour\n")
    assert file.read_bytes() == b"1\n2\nTHREE\nfour\n"


def test_a_stale_buffer_takes_nothing_back_and_conflicts_where_it_must(folder: ContextFolder) -> None:
    file = file_of(folder, BRIEFING)
    opened = folder.edit(BRIEFING, "one\ntwo\nthree\n").text
    folder.edit(BRIEFING, "one\ntwo\nthree\nfrom the vps\n", author="vps")
    file.write_text(opened.replace("one", "1"))
    assert folder.document(BRIEFING).text == "1\ntwo\nthree\nfrom the vps\n"
    assert any("had not read" in problem for problem in folder.problems())
    opened = file.read_text()
    folder.edit(BRIEFING, opened.replace("two", "zwei"), author="vps")
    folder.edit(BRIEFING, file.read_text() + "more\n", author="vps")
    file.write_text(opened.replace("two", "deux"))
    assert folder.document(BRIEFING).text == "1\nzwei\ndeux\nthree\nfrom the vps\nmore\n"
    ((conflict),) = folder.conflicts()
    assert {side.text for side in conflict.sides} == {"zwei", "deux"}


def test_what_another_tier_wrote_can_be_taken_out_in_an_editor(folder: ContextFolder) -> None:
    file = file_of(folder, BRIEFING)
    folder.edit(BRIEFING, "one\ntwo\n")
    folder.edit(BRIEFING, "one\ntwo\nfrom the vps\n", author="vps")
    file.write_text("one\ntwo\n")
    assert folder.document(BRIEFING).text == "one\ntwo\n"
    assert folder.conflicts() == []
