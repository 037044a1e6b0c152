"""kill -9 of the real engine process in the middle of real answers."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from gguf_scripted import scripted_model
from orchestrator_core.backend import Prompt
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.spec import RunState
from orchestrator_core.settings import Settings
from support.run_clients import RunClient, make_spec, wait_for_offset

pytestmark = pytest.mark.slow

TEXT = (
    "The quick brown fox 🦊 jumps over the lazy dog; meanwhile, 猫 naps by the río and dreams of "
    "zebras, kites & thirty-one violins. When it wakes, nothing was lost: every word arrives once."
)
TOKENS = len(TEXT.encode())
KILLS = 20
RUNS = 2
WATCHERS = 3


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppBackend]:
    folder = tmp_path_factory.mktemp("engine")
    settings = Settings(data=folder)
    settings.model.path = str(scripted_model(folder / "scripted.gguf", TEXT, context=1024))
    settings.engine.threads = 1
    backend = LlamaCppBackend(settings)
    backend.load()
    yield backend
    backend.close()


def begin(manager: Any, count: int) -> list[Run]:
    config = GenerationConfig(greedy=True, repetition_penalty=1.0, max_new_tokens=TOKENS + 50)
    return [
        manager.start(make_spec(prompt=Prompt.raw(f"[INST] question {number} [/INST]"), config=config))
        for number in range(count)
    ]


def watch(run: Run, clients: list[RunClient]) -> list[threading.Thread]:
    """Each client stays to the end, in a thread of its own."""
    threads = [threading.Thread(target=client.follow, args=(run,)) for client in clients]
    for thread in threads:
        thread.start()
    return threads


def test_every_watcher_of_every_run_gets_the_answer_once(servers: Any, backend: LlamaCppBackend) -> None:
    manager = servers.start(backend)
    manager._pause = lambda seconds, woken: woken.wait(seconds)
    dice = random.Random(20)
    seams = 0
    for kill in range(KILLS):
        runs = begin(manager, RUNS)
        clients = [[RunClient() for _ in range(WATCHERS)] for _ in runs]
        threads = [thread for run, group in zip(runs, clients, strict=True) for thread in watch(run, group)]
        wait_for_offset(runs[0], dice.randint(1, len(TEXT) - 10))
        pid = backend.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        results = [run.wait(60) for run in runs]
        for thread in threads:
            thread.join(60)
        for run, result, group in zip(runs, results, clients, strict=True):
            assert (result.state, result.text) == (RunState.DONE, TEXT), f"kill {kill}"
            assert [client.text for client in group] == [TEXT] * WATCHERS
            assert servers.answers.texts[run.spec.message_id] == TEXT
            seams += len(result.seams)
    assert len(servers.answers.results) == KILLS * RUNS
    # A kill that came after the end of an answer leaves no seam; most come before.
    assert seams >= KILLS // 2


def test_one_answer_survives_many_deaths(servers: Any, backend: LlamaCppBackend) -> None:
    manager = servers.start(backend)
    manager._pause = lambda seconds, woken: woken.wait(seconds)
    (run,) = begin(manager, 1)
    client = RunClient()
    (thread,) = watch(run, [client])
    for at in (5, 40, 41, 90):
        wait_for_offset(run, at)
        pid = backend.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
    assert run.wait(60).text == TEXT
    thread.join(60)
    assert client.text == TEXT
    assert client.final is not None
    assert 1 <= len(run.wait(0).seams) <= 4
