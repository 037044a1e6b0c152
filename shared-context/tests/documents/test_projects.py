"""Documents of projects that are not the active one: exchanged, watched, read for one request."""

from __future__ import annotations

import queue
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from shared_context.conversations.store import ConversationStore
from shared_context.documents import document_folder
from shared_context.documents.context_folder import ContextFolder
from shared_context.errors import DocumentNotFound
from shared_context.exchange.change_feed import ChangeFeed
from shared_context.exchange.replica import Replica
from shared_context.exchange.shared_documents import SharedDocuments

OpenFolder = Callable[..., ContextFolder]

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"
PATIENCE_S = 20.0


def write(folder: ContextFolder, project: str, text: str, name: str = BRIEFING) -> Path:
    place = folder.folder / project / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(text)
    return place


def send(sender: ContextFolder, receiver: ContextFolder) -> tuple[str, ...]:
    return receiver.apply_update(sender.update_since(receiver.state_vector()), "desktop")


def test_a_project_nobody_opened_is_exchanged_with_what_is_edited_in_it_later(
    open_folder: OpenFolder,
) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    place = write(desktop, "house", "# House\n")
    assert f"house/{BRIEFING}" in send(desktop, vps)
    place.write_text("# House\n\nblue\n")
    assert send(desktop, vps) == (f"house/{BRIEFING}",)
    assert (vps.folder / "house" / BRIEFING).read_text() == "# House\n\nblue\n"
    assert vps.projects() == ["house"]
    # Only what somebody wrote: no starters for documents that the project never had.
    assert not (desktop.folder / "house" / LOG).exists()


def test_an_edit_of_a_received_project_is_exchanged_after_a_restart(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    write(desktop, "house", "one\n")
    send(desktop, vps)
    vps = open_folder("vps", starters=False)
    (vps.folder / "house" / BRIEFING).write_text("one\ntwo\n")
    assert send(vps, desktop) == (f"house/{BRIEFING}",)
    assert (desktop.folder / "house" / BRIEFING).read_text() == "one\ntwo\n"


def test_a_replica_that_receives_its_documents_takes_in_no_project_from_disk(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    write(desktop, "house", "one\n")
    write(vps, "house", "one\n")
    assert send(vps, desktop) == ()
    send(desktop, vps)
    assert (vps.folder / "house" / BRIEFING).read_text() == "one\n"


def test_changes_of_every_project_are_told_also_of_one_made_while_watching(open_folder: OpenFolder) -> None:
    folder = open_folder("desktop")
    there = write(folder, "house", "# House\n")
    told: queue.Queue[tuple[str, ...]] = queue.Queue()
    own: queue.Queue[tuple[str, ...]] = queue.Queue()
    folder.on_any_change(told.put)
    folder.on_change(own.put)

    def wait_for(path: str) -> None:
        while path not in told.get(timeout=PATIENCE_S):
            pass

    wait_for(f"house/{BRIEFING}")
    there.write_text("# House\n\nblue\n")
    wait_for(f"house/{BRIEFING}")
    write(folder, "garden", "# Garden\n", LOG)
    wait_for(f"garden/{LOG}")
    (folder.folder / "shed").mkdir()
    write(folder, "shed", "# Shed\n")
    wait_for(f"shed/{BRIEFING}")
    assert own.empty()
    (folder.folder / BRIEFING).write_text("# Mine\n")
    assert own.get(timeout=PATIENCE_S) == (BRIEFING,)


def test_the_digest_of_an_exchange_sees_other_projects(open_folder: OpenFolder) -> None:
    folder = open_folder("desktop")
    shared = SharedDocuments(folder)
    before = shared.summary().digest
    write(folder, "house", "# House\n")
    assert shared.summary().digest != before


def test_those_who_follow_the_memory_are_told_of_other_projects(
    open_folder: OpenFolder, tmp_path: Path
) -> None:
    folder = open_folder("desktop")
    place = write(folder, "house", "# House\n")
    with ConversationStore.open(tmp_path / "memory.db") as store:
        replica = Replica(store, folder)
        feed = ChangeFeed(replica)
        try:
            seen, before = feed.count, replica.state().digest
            place.write_text("# House\n\nblue\n")
            while replica.state().digest == before or feed.count == seen:
                assert feed.wait(seen, PATIENCE_S) > seen
        finally:
            feed.close()


def test_a_removed_project_comes_back_only_when_it_is_asked_for(open_folder: OpenFolder) -> None:
    folder = open_folder("desktop")
    place = write(folder, "house", "# House\n")
    folder.state_vector()
    folder.close()
    shutil.rmtree(place.parent)
    folder = open_folder("desktop")
    folder.state_vector()
    assert not place.exists()
    assert folder.projects() == ["house"]
    assert folder.in_project("house").document(BRIEFING).text == "# House\n"
    assert place.read_text() == "# House\n"


@pytest.mark.parametrize("name", [".hidden", "con", unicodedata.normalize("NFD", "Gärten"), "x" * 65])
def test_a_folder_whose_name_no_other_replica_takes_is_no_project(open_folder: OpenFolder, name: str) -> None:
    folder = open_folder("desktop")
    write(folder, name, "text\n")
    before = open_folder("vps", starters=False)
    assert all("/" not in path for path in send(folder, before))
    assert folder.projects() == []
    with pytest.raises(DocumentNotFound):
        folder.in_project("other")


def test_of_very_many_folders_the_first_are_looked_at(
    open_folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_folder, "MAX_PROJECTS", 3)
    folder = open_folder("desktop")
    for number in range(5):
        write(folder, f"p{number}", "text\n")
    assert folder.projects() == ["p0", "p1", "p2"]


def test_a_project_that_cannot_be_read_stops_no_exchange(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    write(desktop, "good", "text\n")
    (desktop.folder / "bad").mkdir()
    (desktop.folder / "bad" / BRIEFING).write_bytes(b"\xff\xfe not UTF-8")
    assert f"good/{BRIEFING}" in send(desktop, vps)
    assert any(f"bad/{BRIEFING}" in problem for problem in desktop.problems())
