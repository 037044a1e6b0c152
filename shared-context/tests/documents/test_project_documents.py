"""Documents as they are edited, restored and merged through the API."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.document_names import MAX_DOCUMENT_BYTES, MAX_DOCUMENT_LINES
from shared_context.errors import DocumentNotFound, DocumentRejected, StaleVersion
from support.context_files import file_of

OpenFolder = Callable[..., ContextFolder]

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"


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


@pytest.mark.parametrize(
    "text",
    [
        "half \ud83d",
        "x" * (MAX_DOCUMENT_BYTES + 1),
        "\n" * (MAX_DOCUMENT_LINES + 1),
        "é" * (MAX_DOCUMENT_BYTES // 2 + 1),
    ],
)
def test_a_text_that_cannot_be_kept_is_refused(folder: ContextFolder, text: str) -> None:
    before = folder.document(BRIEFING)
    with pytest.raises(DocumentRejected):
        folder.edit(BRIEFING, text, base_version=before.version)
    with pytest.raises(DocumentRejected):
        folder.append_entry(text)
    assert folder.document(BRIEFING) == before


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


def test_an_unknown_version_is_not_found(folder: ContextFolder) -> None:
    for version in ("0123456789ab", "HEAD", "", folder.document(LOG).version):
        with pytest.raises(DocumentNotFound):
            folder.text_at(BRIEFING, version)


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
    folder.append_entry("x")
    content = file_of(folder, LOG).read_bytes()
    assert content.split(b"\r\n")[2] == b"line"
    assert content.endswith(b"-->\r\n\r\nx\r\n")


@pytest.mark.parametrize(
    ("current", "late"), [("one\n2\nthree\n", "one\nthree\n"), ("one\nthree\n", "one\n2\nthree\n")]
)
def test_a_late_edit_of_a_deleted_line_or_deletion_of_an_edited_one_is_a_conflict(
    folder: ContextFolder, current: str, late: str
) -> None:
    base = folder.edit(BRIEFING, "one\ntwo\nthree\n")
    folder.edit(BRIEFING, current, base_version=base.version, author="vps")
    for _ in range(2):
        edited = folder.edit(BRIEFING, late, base_version=base.version)
        assert edited.text == "one\n2\nthree\n"
        (conflict,) = folder.conflicts()
        assert [side.text for side in conflict.sides] == ["2", ""]
        assert conflict.sides[0].author == ("vps" if "2" in current else folder._author)
    assert folder.resolve(conflict.conflict_id, "").text == "one\nthree\n"
    assert folder.conflicts() == []
