from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from orchestrator_core.backend import ChatBackend
from orchestrator_core.runs.manager import RunManager
from orchestrator_core.runs.store import RunStore
from support.run_clients import Answers


class Servers:
    """Makes managers over one `runs.db`, as a server does that is restarted again and again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "runs.db"
        self.answers = Answers()
        self.waits: list[float] = []
        self._open: list[tuple[RunManager, RunStore]] = []

    def start(self, backend: ChatBackend, **options: object) -> RunManager:
        store = RunStore.open(self.path)
        manager = RunManager(
            store,
            backend,
            tier="desktop",
            on_finish=self.answers,
            pause=lambda seconds, woken: self.waits.append(seconds),
            **options,  # type: ignore[arg-type]
        )
        self._open.append((manager, store))
        return manager

    def stop(self) -> None:
        for manager, store in self._open:
            manager.close(timeout=0)
            store.close()
        self._open.clear()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path)
    yield servers
    servers.stop()
