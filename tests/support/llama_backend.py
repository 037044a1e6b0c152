"""The llama.cpp backend with real engine processes and small generated models, and what it answers.

What every backend promises is in `test_contract.py`; the tests that use this show what only an engine can get wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from orchestrator_core.backend import Prompt
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from support.generations import greedy, said

SENTENCE = (
    "The journal of the lighthouse 🗼 says: at dawn the tide (潮汐) turned, Plume 🦜 wrote it down, and "
    "nobody 👨‍👩‍👧 on the island — not even the keeper — ever read the very last page of it."
)
LONG = " ".join(f"{number * 7919 % 10007}潮{number}😀" for number in range(42))
"""About 600 bytes, each of them a token."""

CONTEXT = 1024
WAIT_S = 60.0
ENDLESS = 'root ::= "a" root'
"""A grammar that lets no answer end before its limit."""

Make = Callable[..., LlamaCppBackend]


def ask(backend: LlamaCppBackend, text: str, continued: str = "", **fields: object) -> str:
    return said(backend.generate(Prompt.raw(text), greedy(**fields), continue_from=continued))


def cached(backend: LlamaCppBackend, text: str) -> int:
    generation = backend.generate(Prompt.raw(text), greedy(max_new_tokens=1))
    list(generation)
    return generation.usage.cached_tokens


def at_once(jobs: list[Callable[[], str]]) -> list[str]:
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result(WAIT_S) for future in [pool.submit(job) for job in jobs]]
