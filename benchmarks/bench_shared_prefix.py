"""Several devices asking about the same documents: first-token times, warm and cold, and what an edit costs.

    python benchmarks/bench_shared_prefix.py
    python benchmarks/bench_shared_prefix.py --model some.gguf --url http://127.0.0.1:8080  # and a llama-server

The prefix stands for the snapshot of the documents. Warm: it is cached already. Cold: all clients arrive
together and nobody has it. The yardstick is the first token of a request without any prefix: alone, with
nothing in the cache, and empty, beside the cached prefix.
Start a llama-server with: -c 16384 -np 8 --kv-unified -t <threads>.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import click
import requests
from measuring import describe_run, event_data, middle, model_file, model_options, show, verdict
from orchestrator_core.backend import Prompt
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import Settings

REPEATS = 5
"""Of what is quickly measured: medians of so many."""

Ask = Callable[[str, int], "Timing"]


@dataclass(frozen=True)
class Timing:
    """Of one answer, in seconds since it was asked for."""

    first: float
    total: float
    longest_pause: float


def timed(tokens: object) -> Timing:
    started = last = time.perf_counter()
    first = pause = 0.0
    for _ in tokens:  # type: ignore[attr-defined]
        now = time.perf_counter()
        if not first:
            first = now - started
        else:
            pause = max(pause, now - last)
        last = now
    return Timing(first, last - started, pause)


class Contender:
    """Something that answers prompts.

    Args:
        prefilled: prompt tokens computed since the start, where that can be known.
    """

    def __init__(self, ask: Ask, count: Callable[[str], int], prefilled: Callable[[], int | None]) -> None:
        self.ask = ask
        self.count = count
        self.prefilled = prefilled


def engine_contender(backend: LlamaCppBackend) -> Contender:
    def ask(prompt: str, tokens: int) -> Timing:
        config = GenerationConfig(greedy=True, repetition_penalty=1.0, max_new_tokens=tokens)
        return timed(backend.generate(Prompt.raw(prompt), config))

    return Contender(ask, backend.count_tokens, lambda: backend.engine_figures()["prefilled"])


@contextmanager
def fresh_engine(settings: Settings) -> Iterator[Contender]:
    with closing(LlamaCppBackend(settings)) as backend:
        backend.load()
        yield engine_contender(backend)


def server_contender(url: str) -> Contender:
    base = url.rstrip("/")

    def ask(prompt: str, tokens: int) -> Timing:
        body = {"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "stream": True, "ignore_eos": True}
        body["cache_prompt"] = True
        started = time.perf_counter()
        with requests.post(f"{base}/completion", json=body, stream=True, timeout=1200) as answer:
            answer.raise_for_status()
            timing = timed(data for data in event_data(answer) if not data.get("stop"))
        waited = time.perf_counter() - started - timing.total
        return Timing(timing.first + waited, timing.total + waited, timing.longest_pause)

    def count(text: str) -> int:
        return len(requests.post(f"{base}/tokenize", json={"content": text}, timeout=60).json()["tokens"])

    return Contender(ask, count, lambda: None)


def documents(count: Callable[[str], int], tokens: int, seed: int) -> str:
    """Text of so many tokens; another seed shares nothing with it."""
    dice = random.Random(seed)
    per_number = count(" ".join(str(dice.randint(0, 99_999)) for _ in range(500))) / 500
    dice = random.Random(seed)
    return " ".join(str(dice.randint(0, 99_999)) for _ in range(int(tokens / per_number)))


_dice = random.Random(0)


def scenario(contender: Contender, prefix: str, clients: int, tokens: int) -> list[Timing]:
    """All clients at once, each with a question that was never asked before."""
    barrier = threading.Barrier(clients)
    questions = [" ".join(str(_dice.randint(0, 999)) for _ in range(6)) for _ in range(clients)]

    def client(number: int) -> Timing:
        barrier.wait()
        return contender.ask(f"{prefix} [INST] {questions[number]} [/INST]", tokens)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(client, range(clients)))


def firsts(timings: list[Timing]) -> list[float]:
    return [timing.first for timing in timings]


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


Opener = Callable[[], AbstractContextManager[Contender]]


def measure(name: str, opened: Opener, size: int, tokens: int) -> tuple[list[list[str]], list[str]]:
    """Rows of the table, and the verdicts. Each number of clients begins with nothing in the cache."""
    rows: list[list[str]] = []
    verdicts: list[str] = []
    for clients in (1, 4, 8):
        with opened() as contender:
            scenario(contender, "", 1, 2)
            prefix = documents(contender.count, size, seed=clients)
            seen = {state: [] for state in ("alone", "cold", "warm", "empty")}
            # Warm and empty take turns: whatever else the machine does hits both.
            for state in (*["alone"] * REPEATS, "cold", *["warm", "empty"] * REPEATS):
                asked = prefix if state in ("cold", "warm") else ""
                seen[state].append(observe(contender, asked, clients, tokens))
            length = contender.count(prefix)
        first = {state: middle([one.first for one in observed]) for state, observed in seen.items()}
        for state, observed in seen.items():
            ratios = [f"{first[state] / first[base]:.2f}" if state == "warm" else "" for base in BASES]
            computed = observed[0].computed
            rows.append(
                [
                    f"{name}, {clients} {state}",
                    f"{first[state]:.3f}",
                    f"{middle([one.total for one in observed]):.2f}",
                    "" if computed is None else f"{computed:,}",
                    *ratios,
                ]
            )
        for base, words in BASES.items():
            ratio = verdict(first["warm"] / first[base], 1.5, least=False)
            verdicts.append(f"{name}, {clients} clients: first token warm against {words}: {ratio}")
        computed = seen["cold"][0].computed
        if clients > 1 and computed is not None:
            times = verdict(computed / length, 1.5, least=False)
            verdicts.append(f"{name}, {clients} clients: prefix computed this many times when cold: {times}")
    return rows, verdicts


BASES = {
    "alone": "an empty prefix with nothing in the cache",
    "empty": "an empty prefix beside the cached one",
}


@dataclass(frozen=True)
class Observed:
    """A scenario: median first token and time until all were done (seconds), prompt tokens computed."""

    first: float
    total: float
    computed: int | None


def observe(contender: Contender, prefix: str, clients: int, tokens: int) -> Observed:
    before = contender.prefilled()
    timings = scenario(contender, prefix, clients, tokens)
    computed = _difference(before, contender.prefilled())
    return Observed(middle(firsts(timings)), max(timing.total for timing in timings), computed)


def chunk_at_the_end(contender: Contender, size: int, chunk: int) -> float:
    """Seconds for the last chunk of such a document: attention makes later tokens dearer than the first ones."""
    whole = documents(contender.count, size, seed=77)
    part = whole[: len(whole) * (size - chunk) // size]
    contender.ask(part, 1)
    return contender.ask(whole, 1).first


def measure_edit(backend: LlamaCppBackend, size: int, chunk: int) -> list[str]:
    """Pauses of two running answers, without and with a document edited meanwhile."""
    contender = engine_contender(backend)
    long = 300

    def two_answers(meanwhile: Callable[[], None]) -> float:
        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(contender.ask, f"[INST] {n} tell me [/INST]", long) for n in range(2)]
            meanwhile()
            return max(future.result().longest_pause for future in running)

    def edit() -> None:
        while backend.stats().running < 2:
            time.sleep(0.01)
        backend.prewarm(Prompt.raw(documents(contender.count, size, seed=99)))

    quiet = two_answers(lambda: None)
    one_chunk = chunk_at_the_end(contender, size, chunk)
    before = backend.engine_figures()["prefilled"]
    edited = two_answers(edit)
    computed = backend.engine_figures()["prefilled"] - before
    return [
        f"longest pause of two running answers: {quiet:.3f} s undisturbed, {edited:.3f} s while an edited "
        f"document of {size} tokens was prewarmed ({computed} tokens of it within their time)",
        f"that pause against one chunk of {chunk} tokens ({one_chunk:.3f} s): "
        + verdict(edited / one_chunk, 1.0, least=False),
    ]


@click.command(help=__doc__)
@model_options()
@click.option("--prefix", default=2000, show_default=True, help="Tokens of the documents.")
@click.option("--tokens", default=32, show_default=True, help="Tokens of each answer.")
@click.option("--url", help="Base URL of a running llama-server with the same file.")
def main(
    model: Path | None, size: str, quant: str, threads: int, prefix: int, tokens: int, url: str | None
) -> None:
    describe_run()
    with model_file(model, size, quant) as path:
        settings = Settings.model_validate(
            {
                "model": {"path": str(path), "context_length": 4096},
                "engine": {"threads": threads, "kv_tokens": 16384, "save_prefix": False},
            }
        )
        rows, verdicts = measure("engine", lambda: fresh_engine(settings), prefix, tokens)
        with closing(LlamaCppBackend(settings)) as backend:
            verdicts += measure_edit(backend, prefix, settings.engine.prefill_chunk)
        if url:
            rows += measure("llama-server", lambda: nullcontext(server_contender(url)), prefix, tokens)[0]
    show(
        f"a shared prefix of {prefix} tokens, {tokens} tokens each, {threads} threads",
        ["clients", "first token, median (s)", "all done (s)", "prefilled", "/ alone", "/ empty"],
        rows,
    )
    for line in verdicts:
        print(line)


if __name__ == "__main__":
    main()
