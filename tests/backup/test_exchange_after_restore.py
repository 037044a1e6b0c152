"""A replica put back from a backup takes part in exchanges without loss, and nothing comes twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from orchestrator_core.backup.making import back_up
from orchestrator_core.backup.restoring import restore
from orchestrator_core.backup.snapshot import DataPlace
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder
from shared_context.exchange.replica import Replica
from shared_context.exchange.sync_client import SyncClient
from support.desktop import listening

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"


class Peer:
    """A tier with its own copy, that exchanges with whoever listens."""

    def __init__(self, folder: Path) -> None:
        self.store = ConversationStore.open(folder / "memory.db")
        self.context = ContextFolder(
            folder / "context", state=folder / "context-state", author="vps", starters=False
        )
        self.replica = Replica(self.store, self.context, name="vps")

    def exchange(self, url: str) -> None:
        with SyncClient(url, self.replica) as client:
            assert client.exchange().complete

    def close(self) -> None:
        self.context.close()
        self.store.close()


def said(store: ConversationStore) -> list[str]:
    return [message.content for message in store.messages("default")]


@pytest.mark.slow
@pytest.mark.parametrize("write_before_exchange", [False, True], ids=["exchange first", "write first"])
def test_what_was_written_after_the_backup_comes_back(tmp_path: Path, write_before_exchange: bool):
    data = tmp_path / "data"
    place = DataPlace(data, data / "context")
    peer = Peer(tmp_path / "peer")
    with listening(data) as server:
        desk = server.services.assistant
        desk.conversations.add_message("default", "user", "before")
        desk.context.append_entry("entry before", entry_id="before")
        peer.exchange(server.url)
        archive = back_up(place, tmp_path / "backups").path
        desk.conversations.add_message("default", "user", "after")
        desk.conversations.create("trip", title="Trip")
        desk.context.append_entry("entry after", entry_id="after")
        text = desk.context.document(BRIEFING).text
        desk.context.edit(BRIEFING, text + "a line after\n", base_version=None)
        peer.exchange(server.url)
        former_id = desk.conversations.replica_id
    peer.store.add_message("default", "user", "of the peer")

    restore(archive, place)
    with listening(data) as server:
        desk = server.services.assistant
        assert said(desk.conversations) == ["before"]
        if write_before_exchange:
            desk.conversations.add_message("default", "user", "after the restore")
            desk.context.append_entry("entry after the restore", entry_id="restored")
        peer.exchange(server.url)
        if not write_before_exchange:
            desk.conversations.add_message("default", "user", "after the restore")
            desk.context.append_entry("entry after the restore", entry_id="restored")
        peer.exchange(server.url)
        assert said(desk.conversations) == said(peer.store)
        assert sorted(said(peer.store)) == ["after", "after the restore", "before", "of the peer"]
        assert desk.conversations.get("trip").title == "Trip"
        log, briefing = desk.context.document(LOG).text, desk.context.document(BRIEFING).text
        assert (log, briefing) == (peer.context.document(LOG).text, peer.context.document(BRIEFING).text)
        for entry in ("before", "after", "restored"):
            assert log.count(f"<!-- entry:{entry} -->") == 1
        assert briefing.count("a line after\n") == 1
        assert desk.context.conflicts() == [] and desk.context.problems() == []
        assert (data / "context" / LOG).read_text() == log
        # Its records of before the restore are of a writer that it no longer is.
        assert desk.conversations.replica_id != former_id
    peer.close()


@pytest.mark.slow
def test_an_edit_of_a_file_that_nobody_took_in_yet_is_in_the_backup(tmp_path: Path):
    data = tmp_path / "data"
    place = DataPlace(data, data / "context")
    with listening(data):
        pass
    file = data / "context" / BRIEFING
    file.write_text(file.read_text() + "typed while nothing ran\n")
    archive = back_up(place, tmp_path / "backups").path
    file.write_text("lost\n")
    restore(archive, place)
    with listening(data) as server:
        assert server.services.assistant.context.document(BRIEFING).text.endswith("typed while nothing ran\n")
