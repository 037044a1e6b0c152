"""Both memories are kept equal over a connection, and the VPS knows when."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ai_orchestrator.vps_link.backoff import Backoff
from ai_orchestrator.vps_link.exchanger import Exchanger
from orchestrator_relay.connection import RelayConnection
from orchestrator_relay.heads import Welcome
from orchestrator_relay.identity.pinning import session_for
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder
from shared_context.errors import DocumentRejected
from shared_context.exchange.replica import Replica
from shared_context.exchange.sync_client import SyncClient
from support.played_vps import CREDENTIAL, PlayedVps
from support.relay_ends import answering, connected
from support.waiting import wait_until

LOG = "SESSION_LOG.md"


@contextmanager
def replica(folder: Path, name: str, *, starters: bool) -> Iterator[Replica]:
    folder.mkdir()
    store = ConversationStore.open(folder / "memory.db")
    context = ContextFolder(folder / "context", state=folder / "state", author=name, starters=starters)
    try:
        yield Replica(store, context, name=name)
    finally:
        context.close()
        store.close()


@dataclass
class House:
    desktop: Replica
    vps: Replica
    server: PlayedVps
    exchanger: Exchanger
    ends: tuple[RelayConnection, RelayConnection]
    synced: list[str] = field(default_factory=list)
    ready: list[tuple[bool, str]] = field(default_factory=list)

    def equal(self) -> bool:
        return self.desktop.state().digest == self.vps.state().digest


@contextmanager
def house(folder: Path, *, role: str = "source", status: int = 200) -> Iterator[House]:
    with (
        replica(folder / "desktop", "desktop", starters=True) as desktop,
        replica(folder / "vps", "vps", starters=False) as vps,
        PlayedVps(vps) as server,
    ):
        server.exchange_status = status
        synced: list[str] = []
        ready: list[tuple[bool, str]] = []
        exchanger = Exchanger(
            desktop,
            lambda: SyncClient(server.url, desktop, session=session_for(None, CREDENTIAL)),
            lambda *told: ready.append(told),
        )
        options: dict[str, Any] = {
            "desktop": {"on_notice": exchanger.noticed},
            "vps": {"on_synced": synced.append},
        }
        with connected(answering([]), **options) as ends:
            exchanger.connected(ends[1], Welcome(role=role))
            try:
                yield House(desktop, vps, server, exchanger, ends, synced, ready)
            finally:
                exchanger.disconnected()
                wait_until(lambda: all(one.name != "vps-exchanger" for one in threading.enumerate()))


def test_is_ready_once_the_memories_are_equal(tmp_path: Path) -> None:
    with house(tmp_path) as here:
        wait_until(lambda: here.exchanger.ready)
        assert here.equal()
        wait_until(lambda: here.vps.state().digest in here.synced)
        assert here.ready == [(True, "")]
    assert here.ready == [(True, ""), (False, "")]
    assert not here.exchanger.ready


def test_what_is_said_and_written_at_home_goes_out_at_once(tmp_path: Path) -> None:
    with house(tmp_path) as here:
        wait_until(lambda: here.exchanger.ready)
        here.desktop.conversations.add_message("default", "user", "said at home")
        wait_until(
            lambda: [one.content for one in here.vps.conversations.messages("default")] == ["said at home"]
        )
        assert here.desktop.documents is not None
        here.desktop.documents.context.append_entry("written at home")
        wait_until(lambda: here.equal())
        wait_until(lambda: here.vps.state().digest in here.synced)


def test_a_notice_is_answered_when_its_state_was_taken_in(tmp_path: Path) -> None:
    with house(tmp_path) as here:
        wait_until(lambda: here.exchanger.ready)
        here.vps.conversations.add_message("default", "user", "said outside")
        digest = here.vps.state().digest
        here.ends[0].notice(digest)
        wait_until(lambda: digest in here.synced)
        assert [one.content for one in here.desktop.conversations.messages("default")] == ["said outside"]


def test_a_notice_of_what_is_here_already_needs_no_exchange(tmp_path: Path) -> None:
    with house(tmp_path) as here:
        wait_until(lambda: here.exchanger.ready and here.synced)
        before = here.server.exchanges
        here.synced.clear()
        here.ends[0].notice(here.vps.state().digest)
        wait_until(lambda: here.synced == [here.vps.state().digest])
        assert here.server.exchanges == before


def test_rests_when_nothing_changes(tmp_path: Path) -> None:
    """Taking something in is a change as well; it must not set off the next exchange for ever."""
    with house(tmp_path) as here:
        wait_until(lambda: here.exchanger.ready)
        here.vps.conversations.add_message("default", "user", "said outside")
        here.ends[0].notice(here.vps.state().digest)
        wait_until(here.equal)
        here.ends[0].notice("some-state-that-nobody-has")
        wait_until(lambda: "some-state-that-nobody-has" in here.synced)
        before = here.server.exchanges
        time.sleep(0.3)  # Nothing to wait for: this is about what does not happen.
        assert here.server.exchanges == before


def test_is_not_ready_while_exchanges_fail_and_tries_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with house(tmp_path, status=400) as here:
        here.ends[0].notice("waited-for")
        wait_until(lambda: "exchange with the VPS failed" in caplog.text)
        assert not here.exchanger.ready and here.synced == []
        ready, why = here.ready[0]
        assert not ready and "Not now." in why
        here.server.exchange_status = 200
        wait_until(lambda: here.exchanger.ready)
        assert here.ready[-1] == (True, "")
        wait_until(lambda: "waited-for" in here.synced)
    assert CREDENTIAL not in caplog.text


def test_tells_when_exchanges_begin_to_fail_and_when_they_are_well_again(tmp_path: Path) -> None:
    with house(tmp_path) as here:
        wait_until(lambda: here.ready == [(True, "")])
        here.server.exchange_status = 400
        here.desktop.conversations.add_message("default", "user", "said at home")
        wait_until(lambda: len(here.ready) > 1)
        ready, why = here.ready[1]
        assert not ready and "Not now." in why
        here.server.exchange_status = 200
        wait_until(lambda: here.ready[-1] == (True, "") and here.equal())


@pytest.mark.parametrize("where", ["desktop", "vps"])
def test_a_conversation_deleted_on_one_side_is_deleted_on_both_and_the_exchange_goes_on(
    tmp_path: Path, where: str
) -> None:
    with house(tmp_path) as here:
        here.desktop.conversations.create("doomed", "Doomed")
        here.desktop.conversations.add_message("doomed", "user", "soon gone")
        wait_until(lambda: here.exchanger.ready and here.equal())
        deleting = getattr(here, where)
        deleting.conversations.delete("doomed")
        here.ends[0].notice(here.vps.state().digest)
        wait_until(here.equal)
        for replica in (here.desktop, here.vps):
            assert [kept.conversation_id for kept in replica.conversations.list(empty=True)] == ["default"]
        here.desktop.conversations.add_message("default", "user", "said at home")
        wait_until(here.equal)
        assert all(ready for ready, _ in here.ready)


def test_what_could_not_be_taken_in_is_tried_again_without_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "slow_s", lambda self: 0.05)
    with house(tmp_path) as here:
        wait_until(lambda: here.exchanger.ready and here.equal())
        apply_update, refused = ContextFolder.apply_update, []

        def refuse_twice(context: ContextFolder, update: bytes, author: str) -> tuple[str, ...]:
            if context is here.desktop.documents.context and len(refused) < 2:
                refused.append(author)
                raise DocumentRejected("There was no room.")
            return apply_update(context, update, author)

        monkeypatch.setattr(ContextFolder, "apply_update", refuse_twice)
        assert here.vps.documents is not None
        here.vps.documents.context.append_entry("Written outside.")
        here.ends[0].notice(here.vps.state().digest)
        wait_until(lambda: here.equal() and len(refused) == 2)


def test_an_extra_desktop_exchanges_nothing(tmp_path: Path) -> None:
    with house(tmp_path, role="extra") as here:
        assert here.exchanger.ready
        here.ends[0].notice("x")
        here.desktop.conversations.add_message("default", "user", "private")
        assert here.ends[1].ping(20)
        assert here.server.exchanges == 0
