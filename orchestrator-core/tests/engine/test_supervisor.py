"""One engine process over its lives: crashes, failures to load, idling, the end of the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from gguf_scripted import scripted_model
from orchestrator_core.engine import supervisor as supervising
from orchestrator_core.engine.load import LoadSpec
from orchestrator_core.engine.load_failure import MAX_FAILED_LOADS
from orchestrator_core.engine.supervisor import EngineState, Supervisor
from orchestrator_core.errors import BackendError, EngineLost, ModelUnusable
from support.generations import greedy
from support.waiting import wait_until

SENTENCE = "Nothing that was said is ever lost, whatever happens to the one who said it."
WAIT_S = 30.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scripted_model(tmp_path_factory.mktemp("model") / "scripted.gguf", SENTENCE, context=1024)


@pytest.fixture
def make(model: Path) -> Iterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def new(path: Path = model, **options: float) -> Supervisor:
        made.append(Supervisor(LoadSpec(model=str(path), threads=1), **options))
        return made[-1]

    yield new
    for supervisor in made:
        supervisor.close()


def ask(supervisor: Supervisor, continued: str = "") -> str:
    stream = supervisor.generate(["[INST] hi [/INST]"], continued, greedy())
    return "".join(token.text for token in iter(stream.read, None))


def kill(supervisor: Supervisor) -> int:
    pid = supervisor.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: supervisor.pid != pid)
    return pid


@pytest.fixture
def dies_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every child killed while it starts, as by a build that does not suit the processor; counts them."""
    counter = tmp_path / "starts"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        f"with open({str(counter)!r}, 'a') as file: file.write('x')\n"
        "print('general protection fault', file=sys.stderr, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGILL)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(supervising, "BACKOFF_S", (0.0,))
    return counter


def test_nothing_is_started_before_it_is_needed(make: Callable[..., Supervisor]) -> None:
    supervisor = make()
    assert (supervisor.state, supervisor.pid) == (EngineState.STOPPED, None)
    assert supervisor.peek("stats") is None
    assert ask(supervisor) == SENTENCE


def test_a_killed_process_loses_its_answers_and_is_started_again(make: Callable[..., Supervisor]) -> None:
    supervisor = make()
    stream = supervisor.generate(["hi"], "", greedy(max_new_tokens=900, grammar='root ::= "a" root'))
    assert stream.read() is not None
    kill(supervisor)
    with pytest.raises(EngineLost, match="SIGKILL"):
        while stream.read() is not None:
            pass
    assert ask(supervisor) == SENTENCE
    assert supervisor.restarts == 1


def test_a_question_that_can_be_repeated_survives_the_process(make: Callable[..., Supervisor]) -> None:
    supervisor = make()
    supervisor.ensure_ready()
    for _ in range(3):
        pid = supervisor.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert supervisor.call("count_text", text="hello")["tokens"] == 5


def test_dying_at_every_start_does_not_go_on_for_ever(
    make: Callable[..., Supervisor], dies_at_start: Path
) -> None:
    supervisor = make()
    with pytest.raises(ModelUnusable, match="SIGILL") as caught:
        supervisor.ensure_ready()
    assert "general protection fault" in caught.value.message
    assert dies_at_start.read_text() == "x" * MAX_FAILED_LOADS
    for _ in range(3):
        with pytest.raises(ModelUnusable):
            ask(supervisor)
    assert dies_at_start.read_text() == "x" * MAX_FAILED_LOADS, "it was tried again without a reason"


def test_a_failed_load_is_tried_again_when_the_file_changes(
    make: Callable[..., Supervisor], model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF, or so it says")
    supervisor = make(path)
    for _ in range(2):
        with pytest.raises(ModelUnusable, match=r"model\.gguf"):
            supervisor.ensure_ready()
    path.write_bytes(model.read_bytes())
    assert ask(supervisor) == SENTENCE


def test_load_tries_again_on_demand(
    make: Callable[..., Supervisor], dies_at_start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = make()
    with pytest.raises(ModelUnusable):
        supervisor.ensure_ready()
    monkeypatch.delenv("PYTHONPATH")
    with pytest.raises(ModelUnusable):
        supervisor.ensure_ready()
    supervisor.ensure_ready(retry=True)
    assert ask(supervisor) == SENTENCE


@pytest.mark.parametrize("size", [0, 3, 100, 5000, 100_000])
def test_a_file_cut_off_anywhere_is_refused(
    make: Callable[..., Supervisor], model: Path, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(model.read_bytes()[:size])
    with pytest.raises(ModelUnusable):
        make(path).ensure_ready()


def test_a_process_that_hangs_is_ended_and_the_answer_fails_over(make: Callable[..., Supervisor]) -> None:
    supervisor = make(silence_s=1.0)
    supervisor.ensure_ready()
    first = supervisor.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(EngineLost):
        ask(supervisor)
    assert ask(supervisor) == SENTENCE
    assert supervisor.pid != first


def test_an_idle_engine_gives_its_memory_back_and_returns_on_demand(make: Callable[..., Supervisor]) -> None:
    supervisor = make(idle_unload_s=0.3)
    stream = supervisor.generate(["[INST] hi [/INST]"], "", greedy())
    pid = supervisor.pid
    assert pid is not None
    assert "".join(token.text for token in iter(stream.read, None)) == SENTENCE
    wait_until(lambda: supervisor.state is EngineState.STOPPED)
    assert not psutil.pid_exists(pid)
    assert supervisor.loaded is not None, "what is known of the model stays known"
    assert ask(supervisor) == SENTENCE
    assert supervisor.restarts == 0


def test_closing_ends_open_answers_as_cancelled_and_the_process(make: Callable[..., Supervisor]) -> None:
    supervisor = make()
    stream = supervisor.generate(["hi"], "", greedy(max_new_tokens=900, grammar='root ::= "a" root'))
    pid = supervisor.pid
    assert pid is not None
    supervisor.close()
    while stream.read() is not None:
        pass
    assert stream.finish_reason == "cancelled"
    assert not psutil.pid_exists(pid)
    with pytest.raises(BackendError, match="closed"):
        supervisor.ensure_ready()
    supervisor.close()


def test_closing_while_loading_does_not_hang(make: Callable[..., Supervisor]) -> None:
    supervisor = make()
    failed = []

    def wait() -> None:
        try:
            supervisor.ensure_ready()
        except BackendError as error:
            failed.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    wait_until(lambda: supervisor.pid is not None)
    supervisor.close()
    waiter.join(WAIT_S)
    assert not waiter.is_alive()


SERVER = """
import sys, threading
from orchestrator_core.engine.load import LoadSpec
from orchestrator_core.engine.supervisor import Supervisor
supervisor = Supervisor(LoadSpec(model=sys.argv[1], threads=1))
starter = threading.Thread(target=supervisor.ensure_ready)
starter.start(); starter.join()
print(supervisor.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(model: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_the_process_ends_with_a_killed_server(server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    child = psutil.Process(int(server.stdout.readline()))
    server.kill()
    server.wait()
    psutil.wait_procs([child], timeout=WAIT_S)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_thread_that_first_used_the_engine_may_end_before_it(server: subprocess.Popen[str]) -> None:
    """The kernel's parent is a thread: had the process been started by the one that asked, it would be dead."""
    assert server.stdout is not None
    child = psutil.Process(int(server.stdout.readline()))
    time.sleep(0.2)  # Nothing to wait for: this is about what does not happen.
    assert child.status() != psutil.STATUS_ZOMBIE
    assert child.is_running()
