"""The server itself dies: at random moments, with watchers at random offsets."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from orchestrator_core.runs.manager import RunManager
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.spec import RunEvent, RunState
from orchestrator_core.runs.store import RunStore
from support.children import Child
from support.run_clients import Answers, RunClient, make_spec
from support.scripted import Gate, Reply, ScriptedBackend

WORDS = tuple(f" w{number}" for number in range(24))
TEXT = "".join(WORDS)


@dataclass(frozen=True)
class Life:
    """One server process: what it produced, what of that it flushed, what each client read."""

    flushed: int
    shown: int
    read: tuple[int, ...]


CLIENTS = 3
lives = st.builds(
    lambda flushed, more, read: Life(flushed, flushed + more, tuple(read)),
    st.integers(0, 4),
    st.integers(0, 4),
    st.lists(st.integers(0, 10), min_size=CLIENTS, max_size=CLIENTS),
)


def copy_as_kill_9_leaves_it(manager: RunManager, source: Path, target: Path) -> None:
    """The files as they are at this moment, which is all that a killed process leaves."""
    target.mkdir()
    with manager._flusher._flushing:
        for file in source.iterdir():
            shutil.copy(file, target)


def live(manager: RunManager, run: Run, gate: Gate, life: Life) -> None:
    before = len(run.log)
    gate.allow(life.flushed)
    wait_for_count(run, before + life.flushed)
    if life.flushed:
        manager._flusher.flush(run)
    gate.allow(life.shown - life.flushed)
    wait_for_count(run, before + life.shown)
    assert gate.wait_blocked()


def wait_for_count(run: Run, count: int) -> None:
    events = run.events(timeout=10)
    assert None not in [next(events) for _ in range(count)]


LOST_SEAM = [Life(0, 0, (0, 0, 0)), Life(1, 1, (0, 0, 0)), Life(0, 1, (0, 0, 4))]
"""The third process shows its seam and a token, flushes neither, and dies: the fourth must not
use those offsets again."""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(LOST_SEAM, [])
@given(st.lists(lives, min_size=1, max_size=3), st.lists(st.integers(0, 24), max_size=2).map(sorted))
def test_every_client_ends_with_the_one_stored_text(
    tmp_path_factory: pytest.TempPathFactory, history: list[Life], engine_deaths: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("server")
    answers = Answers()
    clients = [RunClient() for _ in range(CLIENTS)]
    spec = make_spec()
    current = folder / "0"
    for number, life in enumerate(history):
        gate = Gate()
        store = RunStore.open(current / "runs.db")
        backend = ScriptedBackend([Reply(tokens=WORDS, gate=gate)])
        manager = RunManager(store, backend, tier="desktop", on_finish=answers, flush_interval_s=3600)
        run = (manager.recover() or [manager.start(spec)])[0]
        assert gate.wait_blocked()
        live(manager, run, gate, life)
        for client, most in zip(clients, life.read, strict=True):
            client.read(run, most)
        current = folder / str(number + 1)
        copy_as_kill_9_leaves_it(manager, folder / str(number), current)
        manager.close(timeout=0)
        store.close()
    assert answers.results == []

    store = RunStore.open(current / "runs.db")
    backend = ScriptedBackend([Reply(tokens=WORDS, crash_after=tuple(engine_deaths))])
    manager = RunManager(store, backend, tier="desktop", on_finish=answers, pause=lambda seconds, woken: None)
    (run,) = manager.recover()
    for client in [*clients, late := RunClient()]:
        client.follow(run)
        assert client.text == TEXT
        assert client.final is not None
    assert late.final is not None
    assert late.final.data["response"] == TEXT
    assert answers.texts == {spec.message_id: TEXT}
    assert len(answers.results) == 1
    manager.close()
    store.close()


SERVER = """
    import json, sys, threading
    from pathlib import Path
    from support.scripted import Reply, ScriptedBackend
    from orchestrator_core.runs.manager import RunManager
    from orchestrator_core.runs.store import RunStore
    from support.run_clients import make_spec
    folder, run_id, message_id, text = Path(sys.argv[1]), *sys.argv[2:]

    def on_finish(spec, result):
        with (folder / "answers").open("a") as answers:
            answers.write(json.dumps([spec.message_id, result.text]) + "\\n")
        return {}

    backend = ScriptedBackend(otherwise=Reply(text=text, delay_s=0.004))
    manager = RunManager(RunStore.open(folder / "runs.db"), backend, tier="desktop", on_finish=on_finish)
    runs = manager.recover()
    run = runs[0] if runs else manager.start(make_spec(run_id=run_id, message_id=message_id))
    for event in run.events(int(sys.stdin.readline())):
        print(json.dumps([event.offset, event.kind, event.data]))
"""


def connect(child: Child, client: RunClient, most: int | None) -> None:
    """Read so many events, or all of them, through the child's output."""
    child.tell(str(client.offset))
    while most is None or most > 0:
        line = child.line()
        if not line:
            return
        offset, kind, data = json.loads(line)
        client.see([RunEvent(offset, kind, data)])
        most = None if most is None else most - 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_kill_9_of_the_server_in_mid_answer(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    text = " ".join(f"word{number}" for number in range(150))
    spec = make_spec()
    client = RunClient()
    arguments = (tmp_path, spec.run_id, spec.message_id, text)
    for _ in range(3):
        with Child(SERVER, *arguments) as child:
            connect(child, client, dice.randint(1, 90))
            child.kill()
    with Child(SERVER, *arguments) as child:
        connect(child, client, None)
    assert client.text == text
    assert client.final is not None
    assert client.final.data["response"] == text
    lines = (tmp_path / "answers").read_text().splitlines()
    # Storing is idempotent by message id; a kill between storing and noting so repeats it.
    assert {tuple(json.loads(line)) for line in lines} == {(spec.message_id, text)}


def test_a_finished_answer_is_not_touched_by_a_recovery(servers: Any) -> None:
    manager = servers.start(ScriptedBackend([Reply(tokens=WORDS)]))
    run = manager.start(make_spec())
    assert run.wait(10).state is RunState.DONE
    servers.stop()
    assert servers.start(ScriptedBackend()).recover() == []
