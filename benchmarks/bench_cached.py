"""How much of a long conversation's next prompt the engine has already, turn by turn, over HTTP.

    python benchmarks/bench_cached.py
    python benchmarks/bench_cached.py --model some.gguf --turns 20

Four documents of about 3,200 tokens, other conversations to recall from, and one conversation of many turns,
each asked when what is read ahead is read, as by a person who reads the answer first (--at-once: without such a
pause). Then its next turn after midnight, after an entry in the session log (the last
document of the order), and after an edit of the briefing; each once read ahead in the background and once not.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import click
from desktop_server import Answer, Desktop, desktop
from gguf_models import SentencePieceVocabulary
from household import Household
from measuring import describe_run, middle, model_file, model_options, show, verdict
from shared_context.storage import identity

TARGET = 0.95
LONG = 4096
"""Tokens from which on a conversation is called long: half of the window."""
BEFORE_EDIT, AFTER_EDIT = "## Now\n", "## Now\n\n- The chimney sweep comes on Thursday.\n"


@contextmanager
def tomorrow() -> Iterator[None]:
    """Messages are stored as said a day later."""

    def later() -> str:
        return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    clocks = [module for module in list(sys.modules.values()) if getattr(module, "now", None) is identity.now]
    with ExitStack() as stack:
        for module in clocks:
            stack.enter_context(patch.object(module, "now", later))
        yield


def fill_memory(running: Desktop, texts: Household, conversations: int = 20) -> None:
    """Older conversations, which questions recall passages from."""
    store = running.assistant.conversations
    for number in range(conversations):
        store.create(f"older-{number}")
        for _ in range(10):
            store.add_message(f"older-{number}", "user", texts.question())
            store.add_message(f"older-{number}", "assistant", texts.text(3))


def talk(
    running: Desktop, texts: Household, turns: int, tokens: int, at_once: bool
) -> list[tuple[str, Answer]]:
    """The conversation, and its turns after midnight and after changes."""

    def turn(*, pause: bool = not at_once) -> Answer:
        if pause:
            running.read_ahead()
        return running.ask(texts.question(), "default", tokens)

    said = [(f"turn {number}", turn()) for number in range(1, turns + 1)]
    with tomorrow():
        said.append(("after midnight", turn()))
        running.append(texts.text(2))
        said.append(("after a log entry, at once", turn(pause=False)))
        running.append(texts.text(2))
        running.read_ahead()
        said.append(("after a log entry, read ahead", turn()))
        running.edit("SESSION_BRIEFING.md", BEFORE_EDIT, AFTER_EDIT)
        running.read_ahead()
        said.append(("after an edited briefing, read ahead", turn()))
    return said


@click.command(help=__doc__)
@model_options()
@click.option("--window", default=8192, show_default=True)
@click.option("--turns", default=20, show_default=True)
@click.option("--tokens", default=100, show_default=True, help="Of each answer.")
@click.option("--at-once", is_flag=True, help="Ask without a pause.")
def main(
    model: Path | None,
    size: str,
    quant: str,
    threads: int,
    window: int,
    turns: int,
    tokens: int,
    at_once: bool,
) -> None:
    describe_run()
    spelling = SentencePieceVocabulary()
    with model_file(model, size, quant, spelling) as path, tempfile.TemporaryDirectory() as folder:
        texts = Household()
        with desktop(path, Path(folder) / "data", threads=threads, window=window, texts=texts) as running:
            fill_memory(running, texts)
            running.read_ahead()
            said = talk(running, texts, turns, tokens, at_once)
    show(
        f"cached tokens of each prompt, window {window}, {tokens} tokens an answer, {threads} threads",
        ["turn", "prompt", "cached", "recalled", "ratio", "first token (s)"],
        [
            [
                name,
                f"{one.prompt:,}",
                f"{one.cached:,}",
                str(one.recalled),
                f"{one.ratio:.3f}",
                f"{one.first_s:.2f}",
            ]
            for name, one in said
        ],
    )
    second = [one.ratio for name, one in said[1:turns] if one.prompt >= LONG]
    print(f"turns of more than {LONG} tokens, median: {verdict(middle(second), TARGET, least=True)}")
    print(f"the least of them: {verdict(min(second, default=float('nan')), TARGET, least=True)}")
    for name, one in said[turns:]:
        print(f"{name}: {verdict(one.ratio, TARGET, least=True)}")


if __name__ == "__main__":
    main()
