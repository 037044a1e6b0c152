"""What the desktop server adds: time per streamed token, start-up, memory of the web process.

    python benchmarks/bench_http.py
    python benchmarks/bench_http.py --model some.gguf

The server runs as users start it, in a process of its own with an empty data folder. "scripted" answers with a
fixed text and costs nothing itself, so its time per token is the server's. "engine" is a GGUF in the engine
process; the same engine is measured without the server too.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psutil
import requests
from measuring import describe_run, event_data, middle, model_file, model_options, show, verdict
from orchestrator_core.backend import Prompt
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import Settings

# The test double of a model.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.scripted import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
LAUNCHER = ROOT / "orchestrator-app" / "orchestrator_api.py"
START_TIMEOUT_S = 120.0
MEMORY_LIMIT_MB = 150.0
HELP_LIMIT_S = 0.4
SAID = "say:" + " ".join(f"word{number}" for number in range(400))


class Server:
    """A running desktop server.

    Args:
        started_s: seconds from its start until it answered /health.
    """

    def __init__(self, url: str, process: psutil.Process, started_s: float, ready_s: float) -> None:
        self.url = url
        self.process = process
        self.started_s = started_s
        self.ready_s = ready_s

    @property
    def memory_mb(self) -> float:
        return float(self.process.memory_info().rss / 1e6)


@contextmanager
def server(environment: dict[str, str]) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as data, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(LAUNCHER), "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "ORCHESTRATOR_DATA": data, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            up = wait_for(f"{url}/health", process) - started
            ready = wait_for(f"{url}/ready", process) - started
            yield Server(url, psutil.Process(process.pid), up, ready)
        finally:
            process.terminate()
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> float:
    """When it answered 200."""
    deadline = time.perf_counter() + START_TIMEOUT_S
    while time.perf_counter() < deadline and process.poll() is None:
        try:
            if requests.get(url, timeout=1).status_code == 200:
                return time.perf_counter()
        except requests.RequestException:
            pass
        time.sleep(0.01)
    raise click.ClickException(f"The server did not answer at {url}.")


def stream(url: str, tokens: int) -> Iterator[str]:
    body = {"message": "Go on.", "max_tokens": tokens, "temperature": 0, "repetition_penalty": 1.0}
    with requests.post(f"{url}/chat/stream", json=body, stream=True, timeout=600) as answer:
        answer.raise_for_status()
        yield from (data["token"] for data in event_data(answer) if "token" in data)


def per_token(tokens: Iterable[object]) -> tuple[float, float]:
    """First token and time per further one, both in milliseconds."""
    started = time.perf_counter()
    times = []
    for _ in tokens:
        times.append(time.perf_counter())
    return (times[0] - started) * 1000, (times[-1] - times[0]) / (len(times) - 1) * 1000


def through_server(running: Server, tokens: int, rounds: int) -> tuple[float, float]:
    measured = [per_token(stream(running.url, tokens)) for _ in range(rounds)]
    return middle([first for first, _ in measured]), middle([each for _, each in measured])


def without_server(model: Path, tokens: int, rounds: int, threads: int) -> tuple[float, float]:
    settings = Settings.model_validate({"model": {"path": str(model)}, "engine": {"threads": threads}})
    settings.engine.save_prefix = False
    backend = LlamaCppBackend(settings)
    config = GenerationConfig(greedy=True, repetition_penalty=1.0, max_new_tokens=tokens)
    backend.load()
    measured = [
        per_token(backend.generate(Prompt.raw("[INST] Go on. [/INST]"), config)) for _ in range(rounds)
    ]
    backend.close()
    return middle([first for first, _ in measured]), middle([each for _, each in measured])


def help_seconds() -> float:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        program = Path(sys.executable).with_name("orchestrator")
        subprocess.run([str(program), "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return middle(times)


@click.command(help=__doc__)
@model_options(size="5M", quant="Q8_0", threads=1)
@click.option("--tokens", default=200, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(model: Path | None, size: str, quant: str, threads: int, tokens: int, rounds: int) -> None:
    describe_run()
    rows = []
    scripted = {**ENVIRONMENT, "ORCHESTRATOR_MODEL": SAID}
    with server(scripted) as running:
        first, each = through_server(running, tokens, rounds)
        rows.append(
            ["scripted through the server", f"{first:.1f}", f"{each:.3f}", f"{running.memory_mb:.0f}"]
        )
        fresh = running.started_s
    with model_file(model, size, quant) as path:
        alone_first, alone_each = without_server(path, tokens, rounds, threads)
        rows.append(["engine without the server", f"{alone_first:.1f}", f"{alone_each:.3f}", ""])
        with server({"ORCHESTRATOR_MODEL": str(path), "ORCHESTRATOR_THREADS": str(threads)}) as running:
            first, each = through_server(running, tokens, rounds)
            memory = running.memory_mb
            rows.append(["engine through the server", f"{first:.1f}", f"{each:.3f}", f"{memory:.0f}"])
            ready = running.ready_s
    show(
        f"{tokens} tokens through /chat/stream, medians of {rounds}",
        ["", "first token (ms)", "each further one (ms)", "web process (MB)"],
        rows,
    )
    print(f"the server adds {each - alone_each:.3f} ms per token to this engine")
    print(f"up after {fresh:.2f} s, model ready after {ready:.2f} s")
    print(f"web process, MB resident: {verdict(memory, MEMORY_LIMIT_MB, least=False)}")
    print(f"orchestrator --help, seconds: {verdict(help_seconds(), HELP_LIMIT_S, least=False)}")


if __name__ == "__main__":
    main()
