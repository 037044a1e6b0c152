"""Decode speed of one client: the engine against llama.cpp driven directly, same file and threads, same run.

    python benchmarks/bench_decode.py                      # a random 100M model
    python benchmarks/bench_decode.py --model some.gguf --url http://127.0.0.1:8080   # and a running llama-server

Contenders take turns, so that whatever else the machine does hits all alike. A rate counts tokens from the
first to the last, at the consumer: for the engine that is behind its process boundary.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import requests
from measuring import describe_run, middle, model_file, show, verdict
from orchestrator_core.backends.base import Prompt
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import Settings

PROMPT = "[INST] Tell me about the relay, the desktop and the phone. [/INST]"
CONTEXT = 2048
Contender = Callable[[int], Iterator[object]]
"""Yields once per token, so many tokens."""


def engine(model: Path, threads: int) -> tuple[Contender, Callable[[], None]]:
    settings = Settings.model_validate(
        {
            "model": {"path": str(model), "context_length": CONTEXT},
            "engine": {"threads": threads, "save_prefix": False},
        }
    )
    backend = LlamaCppBackend(settings)
    backend.load()

    def run(tokens: int) -> Iterator[object]:
        config = GenerationConfig(greedy=True, repetition_penalty=1.0, max_new_tokens=tokens)
        yield from backend.generate(Prompt.raw(PROMPT), config)

    return run, backend.close


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
            for line in answer.iter_lines():
                if line.startswith(b"data: ") and not json.loads(line[6:]).get("stop"):
                    yield line

    return run, lambda: None


def rate(contender: Contender, tokens: int) -> float:
    """Tokens per second between the first and the last."""
    times = []
    for _ in contender(tokens):
        times.append(time.perf_counter())
    return (len(times) - 1) / (times[-1] - times[0])


@click.command(help=__doc__)
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="GGUF file.")
@click.option("--size", default="100M", show_default=True, help="Random model when no file is given.")
@click.option("--quant", default="Q4_K_M", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--tokens", default=128, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--url", help="Base URL of a running llama-server.")
def main(
    model: Path | None, size: str, quant: str, threads: int, tokens: int, rounds: int, url: str | None
) -> None:
    describe_run()
    with model_file(model, size, quant) as path:
        contenders = {
            "engine": engine(path, threads),
            "raw loop": raw_loop(path, threads),
            "llama_cpp.Llama": high_level(path, threads),
        }
        if url:
            contenders["llama-server"] = llama_server(url)
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for run, _ in contenders.values():
            rate(run, 16)
        for turn in range(rounds):
            order = list(contenders.items())
            for name, (run, _) in order if turn % 2 else reversed(order):
                rates[name].append(rate(run, tokens))
        for _, close in contenders.values():
            close()
    rows = []
    for name, measured in rates.items():
        ratios = [mine / other for mine, other in zip(rates["engine"], measured, strict=True)]
        rows.append([name, f"{middle(measured):.1f}", f"{max(measured):.1f}", f"{middle(ratios):.3f}"])
    show(
        f"decode, one client, {tokens} tokens, {threads} threads, {rounds} rounds in turns",
        ["", "tokens/s (median)", "(best)", "engine / this (median of rounds)"],
        rows,
    )
    best = max((name for name in rates if name != "engine"), key=lambda name: middle(rates[name]))
    ratios = [mine / other for mine, other in zip(rates["engine"], rates[best], strict=True)]
    print(f"engine against {best}, the fastest other: {verdict(middle(ratios), 0.97, least=True)}")


if __name__ == "__main__":
    main()
