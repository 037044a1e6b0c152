from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from orchestrator_core.runs.flusher import Flusher
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.store import RunRecord, RunStore
from shared_context.errors import StoreFull
from support.run_clients import make_spec


class Recorded:
    """A real store that says when it was written to, and refuses when told to."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.written: list[Sequence[RunRecord]] = []
        self.refuse = False
        self.tried = threading.Event()
        self._news = threading.Condition()

    def write(self, changes: Sequence[RunRecord]) -> None:
        self.tried.set()
        if self.refuse:
            raise StoreFull("runs.db cannot grow")
        self.store.write(changes)
        with self._news:
            self.written.append(changes)
            self._news.notify_all()

    def wait_written(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.written) >= count, 10)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    store = RunStore.open(tmp_path / "runs.db")
    yield Recorded(store)
    store.close()


def new_run(store: Any, **fields: Any) -> Run:
    run = Run(make_spec(**fields))
    if run.spec.durable:
        store.store.create(run.spec)
    return run


def stored_text(store: Any, run: Run) -> str:
    stored = store.store.load(run.run_id)
    return "".join(entry for _, entry in stored.events)


def test_all_runs_share_one_transaction(store: Any) -> None:
    flusher = Flusher(store, interval_s=60)
    runs = [new_run(store) for _ in range(5)]
    for run in runs:
        run.show("a", 1)
        run.show("b", 1)
        flusher.touch(run)
    flusher.close()
    assert [len(changes) for changes in store.written if changes] == [5]
    assert [stored_text(store, run) for run in runs] == ["ab"] * 5


def test_the_thread_flushes_by_itself_and_only_what_is_new(store: Any) -> None:
    flusher = Flusher(store, interval_s=0.001)
    run = new_run(store)
    for count, text in enumerate("abc", start=1):
        run.show(text, 1)
        flusher.touch(run)
        store.wait_written(count)
    flusher.close()
    assert [len(change.events) for changes in store.written for change in changes] == [1, 1, 1]
    assert stored_text(store, run) == "abc"


def test_flushing_one_run_now_brings_the_others_along(store: Any) -> None:
    flusher = Flusher(store, interval_s=60)
    waiting, urgent = new_run(store), new_run(store)
    waiting.show("x", 1)
    flusher.touch(waiting)
    urgent.show("y", 1)
    flusher.flush(urgent)
    assert (stored_text(store, waiting), stored_text(store, urgent)) == ("x", "y")
    flusher.close()


def test_what_a_full_disk_refused_is_written_when_there_is_room(
    store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    flusher = Flusher(store, interval_s=0.001)
    run = new_run(store)
    store.refuse = True
    run.show("kept", 1)
    with caplog.at_level(logging.WARNING):
        flusher.touch(run)
        assert store.tried.wait(10)
        with pytest.raises(StoreFull):
            flusher.flush(run)
    store.refuse = False
    flusher.close()
    assert stored_text(store, run) == "kept"
    assert len([r for r in caplog.records if "cannot be written down" in r.message]) <= 1


def test_runs_that_are_not_durable_are_never_written(store: Any) -> None:
    flusher = Flusher(store)
    run = new_run(store, durable=False)
    run.show("x", 1)
    flusher.touch(run)
    flusher.flush(run)
    assert flusher._thread is None
    flusher.close()
    assert store.store.load(run.run_id) is None


def test_a_forgotten_run_is_left_as_it_is_in_the_store(store: Any) -> None:
    flusher = Flusher(store, interval_s=60)
    run = new_run(store)
    run.show("x", 1)
    flusher.touch(run)
    flusher.forget(run)
    flusher.close()
    assert stored_text(store, run) == ""


def test_closing_twice_is_fine(store: Any) -> None:
    flusher = Flusher(store)
    flusher.close()
    flusher.close()
