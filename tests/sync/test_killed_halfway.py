"""An exchange between two processes, one of which dies in the middle of a step."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_context.conversations.store import ConversationStore
from shared_context.errors import PeerUnreachable
from shared_context.exchange.exchange import PageSize
from shared_context.exchange.replica import Replica
from shared_context.exchange.sync_client import SyncClient
from support.children import Child
from support.desktop import listening

MESSAGES = 60
PAGE = PageSize(records=5)

SERVER = """
    import sys
    from pathlib import Path
    from support.children import die_after_commits
    from support.desktop import listening

    with listening(Path(sys.argv[1])) as server:
        die_after_commits(server.services.assistant.conversations.database, int(sys.argv[2]))
        print(server.url)
        sys.stdin.readline()
"""

CLIENT = """
    import sys
    from pathlib import Path
    from shared_context.conversations.store import ConversationStore
    from shared_context.exchange.exchange import PageSize
    from shared_context.exchange.replica import Replica
    from shared_context.exchange.sync_client import SyncClient
    from support.children import die_after_commits

    with ConversationStore.open(Path(sys.argv[2]) / "memory.db") as store:
        die_after_commits(store.database, int(sys.argv[3]))
        SyncClient(sys.argv[1], Replica(store, name="phone"), page=PageSize(records=5)).exchange()
        print("to the end")
"""


def fill(store: ConversationStore, who: str) -> None:
    with store.database.write():
        for number in range(MESSAGES):
            store.add_message("default", "user", f"{who} {number}")


def check(phone: ConversationStore, desktop: ConversationStore) -> None:
    there = [message.content for message in phone.messages("default")]
    assert sorted(there) == sorted(f"{who} {n}" for who in ("phone", "desktop") for n in range(MESSAGES))
    assert phone.messages("default") == desktop.messages("default")
    assert phone.get("default").turn_count == desktop.get("default").turn_count == 2 * MESSAGES


@pytest.mark.slow
@pytest.mark.parametrize("commits", [1, 2, 5])
def test_the_server_dies_between_taking_a_page_and_answering(tmp_path: Path, commits: int) -> None:
    folder = tmp_path / "desktop"
    with ConversationStore.open(folder / "memory.db") as store:
        fill(store, "desktop")
    with ConversationStore.open(tmp_path / "phone" / "memory.db") as store:
        fill(store, "phone")
        with (
            Child(SERVER, folder, commits) as server,
            SyncClient(server.line(), Replica(store, name="phone"), page=PAGE) as client,
            pytest.raises(PeerUnreachable),
        ):
            client.exchange()
        with listening(folder) as running:
            with SyncClient(running.url, Replica(store, name="phone"), page=PAGE) as client:
                assert client.exchange().complete
            check(store, running.services.assistant.conversations)


@pytest.mark.slow
@pytest.mark.parametrize("commits", [1, 3, 7])
def test_the_caller_dies_just_after_taking_a_page(tmp_path: Path, commits: int) -> None:
    with ConversationStore.open(tmp_path / "phone" / "memory.db") as store:
        fill(store, "phone")
    with listening(tmp_path / "desktop") as running:
        fill(running.services.assistant.conversations, "desktop")
        with Child(CLIENT, running.url, tmp_path / "phone", commits) as client:
            assert client.rest() == []
        with ConversationStore.open(tmp_path / "phone" / "memory.db") as store:
            assert 0 < len(store.messages("default")) - MESSAGES < MESSAGES
            with SyncClient(running.url, Replica(store, name="phone"), page=PAGE) as again:
                assert again.exchange().complete
            check(store, running.services.assistant.conversations)
