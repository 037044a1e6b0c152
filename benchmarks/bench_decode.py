"""Decode speed of one client: the engine against llama.cpp driven directly, same file and threads, same run.

    python benchmarks/bench_decode.py                      # a random 100M model
    python benchmarks/bench_decode.py --model some.gguf --url http://127.0.0.1:8080   # and a running llama-server

Contenders take turns, each turn in a process of its own: several copies of a model in memory at once made
the one loaded last faster than the one loaded first by some percent. A rate counts tokens from the first to the
last, at the consumer: for the engine that is behind its process boundary. Processor time per token (of the
consumer and the engine together) is shown as well: unlike the rate it hardly depends on what else is running.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import psutil
import requests
from measuring import describe_run, event_data, middle, model_file, model_options, show, verdict
from orchestrator_core.engine.load import LoadSpec
from orchestrator_core.engine.supervisor import Supervisor
from orchestrator_core.generation import GenerationConfig

PROMPT = "[INST] Tell me about the relay, the desktop and the phone. [/INST]"
OTHER = "Somebody else asked about the weather in the harbour. "
CACHED_CELLS = 1024
CONTEXT = 2048
WARM_UP = 16
"""Tokens before a turn is measured."""
Contender = Callable[[int], Iterator[object]]
"""Yields once per token, so many tokens."""


def engine(model: Path, threads: int, cached: int) -> tuple[Contender, Callable[[], None]]:
    """The engine with so many cells of other, finished conversations in its cache."""
    spec = LoadSpec(
        str(model), context_length=CONTEXT, kv_tokens=CONTEXT, threads=threads, idle_steps=cached * 100
    )
    supervisor = Supervisor(spec)
    supervisor.ensure_ready()
    if cached:
        tokens = supervisor.call("count_text", text=OTHER)["tokens"]
        list(answer(supervisor, OTHER * (cached // tokens), 1))

    return lambda tokens: answer(supervisor, PROMPT, tokens), supervisor.close


def answer(supervisor: Supervisor, prompt: str, tokens: int) -> Iterator[object]:
    config = GenerationConfig(greedy=True, repetition_penalty=1.0, max_new_tokens=tokens)
    stream = supervisor.generate([prompt], "", config)
    yield from iter(stream.read, None)


def high_level(model: Path, threads: int) -> tuple[Contender, Callable[[], None]]:
    """llama_cpp.Llama, as most Python programs use it."""
    import llama_cpp

    llama = llama_cpp.Llama(
        str(model), n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False
    )

    def run(tokens: int) -> Iterator[object]:
        yield from llama(PROMPT, max_tokens=tokens, temperature=0.0, repeat_penalty=1.0, stream=True)

    return run, llama.close


def raw_loop(model: Path, threads: int) -> tuple[Contender, Callable[[], None]]:
    """The shortest loop over llama.cpp's functions: decode, take the largest logit, no text."""
    import llama_cpp as lib

    llama = lib.Llama(str(model), n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False)
    context, batch = llama._ctx.ctx, lib.llama_batch_init(1, 0, 1)
    sampler = lib.llama_sampler_init_greedy()

    def run(tokens: int) -> Iterator[object]:
        llama.reset()
        lib.llama_memory_clear(lib.llama_get_memory(context), False)
        prompt = llama.tokenize(PROMPT.encode(), special=True)
        llama.eval(prompt)
        token = lib.llama_sampler_sample(sampler, context, -1)
        for position in range(len(prompt), len(prompt) + tokens):
            yield token
            batch.n_tokens, batch.token[0], batch.pos[0] = 1, token, position
            batch.n_seq_id[0], batch.seq_id[0][0], batch.logits[0] = 1, 0, 1
            lib.llama_decode(context, batch)
            token = lib.llama_sampler_sample(sampler, context, 0)

    return run, llama.close


def llama_server(url: str) -> tuple[Contender, Callable[[], None]]:
    """A running llama-server; start it with the same file and threads."""

    def run(tokens: int) -> Iterator[object]:
        body = {"prompt": PROMPT, "n_predict": tokens, "temperature": 0.0, "stream": True, "ignore_eos": True}
        with requests.post(f"{url.rstrip('/')}/completion", json=body, stream=True, timeout=600) as answer:
            answer.raise_for_status()
            yield from (data for data in event_data(answer) if not data.get("stop"))

    return run, lambda: None


def processor_time() -> float:
    """Seconds of this process and its children so far."""
    this = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in [this, *this.children()])


def rate(contender: Contender, tokens: int) -> tuple[float, float]:
    """Tokens per second between the first and the last, and processor milliseconds per token."""
    times, used = [], 0.0
    for _ in contender(tokens):
        times.append(time.perf_counter())
        used = used or processor_time()
    used = processor_time() - used
    return (len(times) - 1) / (times[-1] - times[0]), used / (len(times) - 1) * 1000


BESIDE = f"engine beside {CACHED_CELLS} cached cells"
CONTENDERS: dict[str, Callable[[Path, int], tuple[Contender, Callable[[], None]]]] = {
    "engine": lambda model, threads: engine(model, threads, cached=0),
    "raw loop": raw_loop,
    "llama_cpp.Llama": high_level,
    BESIDE: lambda model, threads: engine(model, threads, cached=CACHED_CELLS),
}


def turn_of(name: str, model: Path, threads: int, tokens: int, url: str | None) -> tuple[float, float]:
    """One turn of a contender, from loading to closing; see `rate`."""
    run, close = llama_server(url) if url and name not in CONTENDERS else CONTENDERS[name](model, threads)
    try:
        rate(run, WARM_UP)
        return rate(run, tokens)
    finally:
        close()


def in_own_process(*turn: Any) -> tuple[float, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(turn_of, turn)


@click.command(help=__doc__)
@model_options()
@click.option("--tokens", default=128, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--url", help="Base URL of a running llama-server.")
def main(
    model: Path | None, size: str, quant: str, threads: int, tokens: int, rounds: int, url: str | None
) -> None:
    describe_run()
    names = [*CONTENDERS, *(["llama-server"] if url else [])]
    rates: dict[str, list[float]] = {name: [] for name in names}
    costs: dict[str, list[float]] = {name: [] for name in names}
    with model_file(model, size, quant) as path:
        for turn in range(rounds):
            for name in names if turn % 2 else reversed(names):
                measured, cost = in_own_process(name, path, threads, tokens, url)
                rates[name].append(measured)
                costs[name].append(cost)
    rows = []
    for name, values in rates.items():
        ratios = [mine / other for mine, other in zip(rates["engine"], values, strict=True)]
        cost = "" if name == "llama-server" else f"{middle(costs[name]):.2f}"
        rows.append([name, f"{middle(values):.1f}", f"{max(values):.1f}", f"{middle(ratios):.3f}", cost])
    show(
        f"decode, one client, {tokens} tokens, {threads} threads, {rounds} rounds in turns",
        ["", "tokens/s (median)", "(best)", "engine / this (median)", "processor ms per token"],
        rows,
    )
    best = max(
        (name for name in rates if not name.startswith("engine")), key=lambda name: middle(rates[name])
    )
    ratios = [mine / other for mine, other in zip(rates["engine"], rates[best], strict=True)]
    print(f"engine against {best}, the fastest other: {verdict(middle(ratios), 0.97, least=True)}")


if __name__ == "__main__":
    main()
