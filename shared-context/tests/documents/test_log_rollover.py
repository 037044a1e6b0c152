from __future__ import annotations

from collections.abc import Callable

import pytest
from shared_context.documents import log_rollover
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.document_names import LOG
from shared_context.documents.log_rollover import KEPT_CHARS, ROLL_CHARS, OldEntries, old_entries
from shared_context.retrieval.passages import document_passages

OpenFolder = Callable[..., ContextFolder]


def journal(years: list[int], each: int = 3) -> str:
    entries = (
        f"## {year}-0{n + 1}-01 10:00 UTC · desktop <!-- entry:y{year}n{n} -->\n\n"
        + f"What was done in {year}, part {n}. " * 70
        + "\n\n"
        for year in years
        for n in range(each)
    )
    return "# Session log\n\nIntroduction.\n\n" + "".join(entries)


def long_log(folder: ContextFolder) -> None:
    text = journal([2024, 2025, 2026], each=9)
    text += (
        "\n".join(f"## 2026-1{n // 9}-0{n % 9 + 1} by hand\n\n" + "more words " * 150 for n in range(18))
        + "\n"
    )
    assert len(text) > ROLL_CHARS
    folder.edit(LOG, text)


def test_a_long_log_keeps_its_newest_entries_and_the_others_go_to_the_archive_of_their_year(
    folder: ContextFolder,
) -> None:
    long_log(folder)
    before = folder.document(LOG).text
    document, entry_id = folder.append_entry("The newest.")
    archives = folder.archives()
    assert [archive.name for archive in archives] == [
        "SESSION_LOG.2024.md",
        "SESSION_LOG.2025.md",
        "SESSION_LOG.2026.md",
    ]
    assert len(document.text) <= KEPT_CHARS + 8_000
    assert document.text.startswith("# Session log\n\nIntroduction.\n\n## ")
    assert entry_id in document.text
    entries = [line for line in before.split("\n") if line.startswith("## ")]
    everything = "\n".join([*(archive.text for archive in archives), document.text]).split("\n")
    assert [line for line in everything if line.startswith("## ")][:-1] == entries
    assert (folder.folder / archives[0].name).read_text() == archives[0].text
    assert folder.text_at(LOG, folder.history(LOG)[-1].version)


def test_an_archive_is_searched_read_and_edited_like_the_log(folder: ContextFolder) -> None:
    long_log(folder)
    folder.append_entry("The newest.")
    archive = folder.of_all_projects()["SESSION_LOG.2024.md"]
    passages = document_passages(archive, "SESSION_LOG.2024.md")
    assert (passages[0].source, passages[-1].item, passages[-1].at[:4]) == (
        "log", "SESSION_LOG.2024.md#y2024n8", "2024"
    )  # fmt: skip
    edited = folder.edit(archive.name, archive.text.replace("part 0", "part nought"))
    assert "part nought" in edited.text
    assert folder.document(archive.name).text == edited.text


def test_an_entry_that_moved_is_not_appended_again(folder: ContextFolder) -> None:
    long_log(folder)
    folder.append_entry("The newest.")
    length = len(folder.document(LOG).text)
    folder.append_entry("Delivered once more.", entry_id="y2024n0")
    assert len(folder.document(LOG).text) == length


def test_what_a_crash_left_half_moved_is_moved_once(
    open_folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_folder()
    long_log(folder)
    change = folder._store.change
    monkeypatch.setattr(
        folder._store, "change", lambda path, *a, **k: None if path == LOG else change(path, *a, **k)
    )
    log_rollover.roll_over(folder._store, LOG, "desktop")
    monkeypatch.undo()
    half = [archive.text for archive in folder.archives()]
    folder = open_folder()
    folder.append_entry("Goes on.")
    assert [archive.text for archive in folder.archives()] == half
    assert "y2024n0" not in folder.document(LOG).text


def test_archives_reach_other_replicas_and_only_the_first_one_moves_entries(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    long_log(desktop)
    vps.apply_update(desktop.update_since(vps.state_vector()), "desktop")
    vps.append_entry("On the VPS.")
    assert vps.archives() == []
    desktop.apply_update(vps.update_since(desktop.state_vector()), "vps")
    vps.apply_update(desktop.update_since(vps.state_vector()), "desktop")
    assert [(a.name, a.text) for a in vps.archives()] == [(a.name, a.text) for a in desktop.archives()] != []
    assert "On the VPS." in vps.document(LOG).text == desktop.document(LOG).text
    assert (vps.folder / "SESSION_LOG.2024.md").is_file()


def test_a_log_with_its_newest_entry_on_top_is_left_as_it_is() -> None:
    lines = journal([2026, 2025]).split("\n")
    assert old_entries(lines, 100, "2026") == []


def test_entries_without_a_date_go_where_their_neighbours_go() -> None:
    lines = [
        "# Log",
        "## by hand",
        "a",
        "## 2025-01-01 x",
        "b",
        "## undated",
        "c",
        "## 2026-01-01 y",
        "d",
        "## 2026-01-02 z",
        "e",
    ]
    assert old_entries(lines, 20, "2024") == [
        OldEntries("2024", 1, 3), OldEntries("2025", 3, 7), OldEntries("2026", 7, 9)
    ]  # fmt: skip
