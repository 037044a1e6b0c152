"""Exactly once and in order, whatever crashes or is cut at any step, of this device or of the server."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mobile_sync.delivery import Delivery
from mobile_sync.errors import ConnectionCut, NothingReachable
from mobile_sync.outbox import EntryKind, EntryState, Outbox, OutboxEntry
from orchestrator_core.errors import ApplicationError, InvalidRequest, Overloaded, TierLost

LANES = ("a", "b")

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A disk that need not be waited for: processes are killed here, not machines."""

FAULTS = (
    "none",
    "none",
    "unreachable",
    "lost before it was done",
    "lost after it was done",
    "busy",
    "crash before",
    "crash after",
    "server crash",
)


class Crash(BaseException):
    """The device's battery is empty at this moment."""


@dataclass
class Server:
    """Stores what is new, once for each id; what it has stored a crash does not take from it."""

    history: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    faults: Iterator[str] = field(default_factory=lambda: iter(()))

    def call(self, entry: OutboxEntry, store: bool) -> bool:
        fault = next(self.faults, "none")
        if fault == "crash before":
            raise Crash
        if fault == "unreachable":
            raise NothingReachable("no road")
        if fault == "busy":
            raise Overloaded("busy")
        if fault == "lost before it was done":
            raise ConnectionCut("cut")
        lane = self.history[entry.lane]
        if store and entry.entry_id not in lane:
            lane.append(entry.entry_id)
        if fault == "server crash":
            raise TierLost("gone")
        if fault == "lost after it was done":
            raise ConnectionCut("cut")
        if fault == "crash after":
            raise Crash
        return entry.entry_id in lane


class ServerCourier:
    def __init__(self, server: Server) -> None:
        self.server = server

    def send(self, entry: OutboxEntry) -> None:
        self.server.call(entry, store=True)

    def is_seen(self, entry: OutboxEntry) -> bool:
        return self.server.call(entry, store=False)


class FragileOutbox(Outbox):
    """Loses its process before or after a commit."""

    faults: Iterator[str] = iter(())

    def mark(self, *args: object, **fields: object) -> None:
        self._around(lambda: super(FragileOutbox, self).mark(*args, **fields))  # type: ignore[arg-type]

    def remove(self, entry_id: str) -> None:
        self._around(lambda: super(FragileOutbox, self).remove(entry_id))

    def _around(self, write: object) -> None:
        fault = next(self.faults, "none")
        if fault == "crash before":
            raise Crash
        write()  # type: ignore[operator]
        if fault == "crash after":
            raise Crash


schedules = st.tuples(
    st.lists(st.sampled_from(LANES), min_size=1, max_size=6),
    st.lists(st.sampled_from(FAULTS), max_size=25),
    st.lists(st.sampled_from(("none", "none", "none", "crash before", "crash after")), max_size=25),
)


def run_schedule(lanes: list[str], network: list[str], device: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder) / "outbox.db"
        server = Server(faults=iter(network))
        crashes = iter(device)
        written: dict[str, list[str]] = defaultdict(list)
        outbox = FragileOutbox(path)
        outbox.faults = crashes
        waiting = list(lanes)
        for _ in range(200):
            try:
                if waiting:
                    entry = outbox.add(EntryKind.MESSAGE, waiting[0], {"message": "x"})
                    written[waiting.pop(0)].append(entry.entry_id)
                if Delivery(outbox, ServerCourier(server)).flush() and not waiting:
                    break
            except Crash:
                outbox.close()
                outbox = FragileOutbox(path)
                outbox.faults = crashes
        else:
            raise AssertionError(f"never delivered: {outbox.entries()}")
        outbox.close()
        assert dict(server.history) == dict(written)


@given(schedules)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_everything_arrives_once_and_in_order(schedule: tuple[list[str], list[str], list[str]]) -> None:
    run_schedule(*schedule)


@pytest.mark.slow
@given(schedules)
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_everything_arrives_once_and_in_order_over_a_thousand_schedules(
    schedule: tuple[list[str], list[str], list[str]],
) -> None:
    run_schedule(*schedule)


class Answers(ServerCourier):
    """A server that has one answer for one entry."""

    def __init__(self, server: Server, refused: str, error: ApplicationError) -> None:
        super().__init__(server)
        self.refused, self.error = refused, error

    def send(self, entry: OutboxEntry) -> None:
        if entry.entry_id == self.refused:
            raise self.error
        super().send(entry)


def test_what_a_server_refuses_waits_for_the_owner_and_holds_only_its_own_lane(tmp_path: Path) -> None:
    outbox, server = Outbox(tmp_path / "outbox.db"), Server()
    refused, after = (outbox.add(EntryKind.MESSAGE, "a", {}).entry_id for _ in range(2))
    other = outbox.add(EntryKind.MESSAGE, "b", {}).entry_id
    courier = Answers(server, refused, InvalidRequest("too long"))
    assert not Delivery(outbox, courier).flush()
    assert [(entry.entry_id, entry.state, entry.problem) for entry in outbox.entries()] == [
        (refused, EntryState.REFUSED, "too long"),
        (after, EntryState.QUEUED, ""),
    ]
    assert server.history == {"b": [other]}
    outbox.retry(refused)
    assert Delivery(outbox, ServerCourier(server)).flush()
    assert server.history["a"] == [refused, after]


def test_after_the_owner_deleted_what_was_refused_the_rest_goes(tmp_path: Path) -> None:
    outbox, server = Outbox(tmp_path / "outbox.db"), Server()
    refused, after = (outbox.add(EntryKind.MESSAGE, "a", {}).entry_id for _ in range(2))
    delivery = Delivery(outbox, Answers(server, refused, InvalidRequest("no")))
    delivery.flush()
    outbox.delete(refused)
    assert delivery.flush()
    assert server.history["a"] == [after]


def test_an_entry_stays_until_the_history_shows_it(tmp_path: Path) -> None:
    class Forgetful(ServerCourier):
        shows = False

        def is_seen(self, entry: OutboxEntry) -> bool:
            return self.shows and super().is_seen(entry)

    outbox, server = Outbox(tmp_path / "outbox.db"), Server()
    entry_id = outbox.add(EntryKind.MESSAGE, "a", {}).entry_id
    courier = Forgetful(server)
    assert not Delivery(outbox, courier).flush()
    assert outbox.get(entry_id).state is EntryState.ANSWERED
    courier.shows = True
    assert Delivery(outbox, courier).flush()
    assert server.history["a"] == [entry_id]
