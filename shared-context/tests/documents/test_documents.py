from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from shared_context.documents import DOCUMENT_NAMES, ContextFolder
from shared_context.errors import DocumentNotFound, DocumentRejected, StaleVersion, StoreFull, StoreLocked
from shared_context.handoff import MAX_DOCUMENT_BYTES

OpenFolder = Callable[..., ContextFolder]

PORTFOLIO, PROJECT, BRIEFING, LOG = DOCUMENT_NAMES


def file_of(folder: ContextFolder, name: str) -> Path:
    return folder.folder / (folder.project or "") / name


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


def test_an_edit_is_on_disk_and_in_the_history(folder: ContextFolder) -> None:
    before = folder.document(BRIEFING)
    after = folder.edit(BRIEFING, "# Now\n", base_version=before.version, author="phone")
    assert (after.text, after.author) == ("# Now\n", "phone")
    assert file_of(folder, BRIEFING).read_text("utf-8") == "# Now\n"
    assert [version.version for version in folder.history(BRIEFING)] == [after.version, before.version]
    assert folder.text_at(BRIEFING, before.version) == before.text


def test_the_version_changes_exactly_when_the_text_does(folder: ContextFolder) -> None:
    first = folder.document(BRIEFING)
    same = folder.edit(BRIEFING, first.text, base_version=first.version)
    other = folder.edit(BRIEFING, "other\n", base_version=first.version)
    back = folder.edit(BRIEFING, first.text, base_version=other.version)
    assert first.version == same.version == back.version != other.version
    assert len(folder.history(BRIEFING)) == 3


def test_documents_survive_a_restart_with_version_author_and_time(open_folder: OpenFolder) -> None:
    folder = open_folder()
    folder.edit(PROJECT, "kept\n", base_version=None, author="vps")
    documents = folder.documents()
    assert open_folder().documents() == documents


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


def test_an_edit_of_an_old_version_is_merged(folder: ContextFolder) -> None:
    old = folder.edit(BRIEFING, "one\ntwo\nthree\n", base_version=None)
    folder.edit(BRIEFING, "ONE\ntwo\nthree\n", base_version=old.version)
    merged = folder.edit(BRIEFING, "one\ntwo\nTHREE\n", base_version=old.version)
    assert (merged.text, merged.conflicts) == ("ONE\ntwo\nTHREE\n", 0)


def test_any_earlier_version_can_be_the_base(folder: ContextFolder) -> None:
    base = folder.edit(BRIEFING, "a\nb\n", base_version=None)
    for number in range(5):
        folder.edit(BRIEFING, f"a {number}\nb\n", base_version=None)
    assert folder.edit(BRIEFING, "a\nB\n", base_version=base.version).text == "a 4\nB\n"


def test_an_edit_of_an_unknown_version_is_refused(folder: ContextFolder) -> None:
    text = folder.document(BRIEFING).text
    for version in ("0123456789ab", "", "%", "../x", folder.document(LOG).version):
        with pytest.raises(StaleVersion):
            folder.edit(BRIEFING, "x", base_version=version)
    assert folder.document(BRIEFING).text == text


def test_lines_both_changed_are_kept_twice_and_resolved_with_one_call(folder: ContextFolder) -> None:
    base = folder.edit(BRIEFING, "head\nline\ntail\n", base_version=None)
    folder.edit(BRIEFING, "head\nphone\ntail\n", base_version=base.version, author="phone")
    both = folder.edit(BRIEFING, "head\nvps 1\nvps 2\ntail\n", base_version=base.version, author="vps")
    assert (both.text, both.conflicts) == ("head\nphone\nvps 1\nvps 2\ntail\n", 1)
    (conflict,) = folder.conflicts()
    assert (conflict.name, conflict.line) == (BRIEFING, 2)
    assert [(s.author, s.text) for s in conflict.sides] == [("phone", "phone"), ("vps", "vps 1\nvps 2")]
    resolved = folder.resolve(conflict.conflict_id, "both\n")
    assert (resolved.text, resolved.conflicts) == ("head\nboth\ntail\n", 0)
    assert folder.conflicts() == []


def test_a_conflict_survives_a_restart(open_folder: OpenFolder) -> None:
    folder = open_folder()
    base = folder.edit(BRIEFING, "line\n", base_version=None)
    for text in ("one\n", "two\n"):
        folder.edit(BRIEFING, text, base_version=base.version)
    conflicts = folder.conflicts()
    folder = open_folder()
    assert folder.conflicts() == conflicts != []
    assert folder.resolve(conflicts[0].conflict_id, "").text == ""


def test_a_conflict_that_changed_meanwhile_is_not_resolved(folder: ContextFolder) -> None:
    base = folder.edit(BRIEFING, "line\n", base_version=None)
    for text in ("one\n", "two\n"):
        folder.edit(BRIEFING, text, base_version=base.version)
    (conflict,) = folder.conflicts()
    folder.edit(BRIEFING, "one\ntwo, better\n", base_version=None)
    with pytest.raises(DocumentNotFound):
        folder.resolve(conflict.conflict_id, "x")
    assert folder.document(BRIEFING).text == "one\ntwo, better\n"


def test_a_conflict_is_over_when_a_person_deletes_one_side_in_the_file(folder: ContextFolder) -> None:
    base = folder.edit(BRIEFING, "line\n", base_version=None)
    for text in ("one\n", "two\n"):
        folder.edit(BRIEFING, text, base_version=base.version)
    file_of(folder, BRIEFING).write_text("two\n", "utf-8")
    assert folder.document(BRIEFING).conflicts == 0


def test_restoring_is_a_new_edit(folder: ContextFolder) -> None:
    first = folder.document(BRIEFING)
    folder.edit(BRIEFING, "changed\n", base_version=None)
    restored = folder.restore(BRIEFING, first.version)
    assert restored.text == first.text
    versions = folder.history(BRIEFING)
    assert len(versions) == 3
    assert first.version in versions[0].summary


def test_the_difference_of_two_versions_is_shown(folder: ContextFolder) -> None:
    first = folder.edit(BRIEFING, "a\nb\n", base_version=None)
    second = folder.edit(BRIEFING, "a\nc\n", base_version=None)
    expected = (
        f"--- {BRIEFING} {first.version}\n+++ {BRIEFING} {second.version}\n@@ -1,3 +1,3 @@\n a\n-b\n+c\n \n"
    )
    assert folder.diff(BRIEFING, first.version) == expected
    assert folder.diff(BRIEFING, first.version, second.version) == expected


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


def test_an_unknown_version_is_not_found(folder: ContextFolder) -> None:
    for version in ("0123456789ab", "HEAD", "", folder.document(LOG).version):
        with pytest.raises(DocumentNotFound):
            folder.text_at(BRIEFING, version)


@pytest.mark.parametrize(
    "text", ["half \ud83d", "x" * (MAX_DOCUMENT_BYTES + 1), "é" * (MAX_DOCUMENT_BYTES // 2 + 1)]
)
def test_a_text_that_cannot_be_kept_is_refused(folder: ContextFolder, text: str) -> None:
    before = folder.document(BRIEFING)
    with pytest.raises(DocumentRejected):
        folder.edit(BRIEFING, text, base_version=before.version)
    with pytest.raises(DocumentRejected):
        folder.append_entry(text)
    assert folder.document(BRIEFING) == before


@pytest.mark.parametrize("content", [b"\xff\xfe binary", b"x" * (MAX_DOCUMENT_BYTES + 1)])
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
    assert folder.document(BRIEFING).text == "one\r\ntwo\r\n"
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


def test_an_entry_is_one_dated_block_at_the_end(folder: ContextFolder) -> None:
    before = folder.document(LOG).text
    log, entry_id = folder.append_entry("\nDid a thing.\n\n- and another\n", author="phone")
    added = log.text.removeprefix(before)
    assert added.startswith("\n## 20") and f"· phone <!-- entry:{entry_id} -->\n" in added
    assert added.endswith(" -->\n\nDid a thing.\n\n- and another\n")


def test_appending_the_same_entry_again_changes_nothing(open_folder: OpenFolder) -> None:
    folder = open_folder()
    log, entry_id = folder.append_entry("once", entry_id="019a-x")
    assert entry_id == "019a-x"
    assert folder.append_entry("once", entry_id="019a-x") == (log, "019a-x")
    folder = open_folder()
    file_of(folder, LOG).write_text(log.text.replace("once", "once, corrected"), "utf-8")
    assert "corrected" in folder.append_entry("once", entry_id="019a-x")[0].text
    assert folder.document(LOG).text.count("019a-x") == 1


def test_an_entry_a_person_deleted_does_not_come_back(folder: ContextFolder) -> None:
    before = folder.document(LOG)
    folder.append_entry("regretted", entry_id="e1")
    folder.edit(LOG, before.text, base_version=None)
    assert folder.append_entry("regretted", entry_id="e1")[0].text == before.text


@pytest.mark.parametrize("text", ["", " \n\n "])
def test_an_empty_entry_is_refused(folder: ContextFolder, text: str) -> None:
    with pytest.raises(DocumentRejected):
        folder.append_entry(text)


@pytest.mark.parametrize("entry_id", ["", "a--b", "a b", "-->", "é", "a" * 65, "a\n"])
def test_an_entry_id_that_would_break_the_comment_is_refused(folder: ContextFolder, entry_id: str) -> None:
    with pytest.raises(DocumentRejected):
        folder.append_entry("x", entry_id=entry_id)


def test_entries_of_many_threads_are_all_there_and_whole(folder: ContextFolder) -> None:
    blocks = [f"entry {n}\nsecond line of {n}\nthird line of {n}" for n in range(24)]
    threads = [
        threading.Thread(target=lambda part=blocks[k::4]: [folder.append_entry(b) for b in part])
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = folder.document(LOG).text
    assert all(text.count(block) == 1 for block in blocks)


def test_an_entry_after_a_missing_final_newline_starts_on_its_own_line(folder: ContextFolder) -> None:
    file_of(folder, LOG).write_bytes(b"# Log\r\nlast\r\nline")
    log, _ = folder.append_entry("x")
    assert log.text.split("\n")[2] == "line"
    assert log.text.endswith("-->\r\n\r\nx\r\n")


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


def test_a_repository_of_the_users_is_never_touched(open_folder: OpenFolder, tmp_path: Path) -> None:
    context = tmp_path / "desktop" / "context"
    context.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(context)], check=True)
    before = {path: path.stat().st_mtime_ns for path in (context / ".git").rglob("*")}
    folder = open_folder()
    folder.append_entry("x")
    assert {path: path.stat().st_mtime_ns for path in (context / ".git").rglob("*")} == before


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


def test_many_changes_are_compacted_and_nothing_is_lost(
    open_folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared_context.document_database.COMPACT_AFTER", 5)
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


def test_half_an_update_is_refused_and_the_whole_still_applies(open_folder: OpenFolder) -> None:
    folder, other = open_folder(), open_folder("vps", starters=False)
    update = folder.update_since()
    for length in range(0, len(update), 97):
        with pytest.raises(DocumentRejected):
            other.apply_update(update[:length], "desktop")
    assert set(other.apply_update(update, "desktop")) == set(DOCUMENT_NAMES)
