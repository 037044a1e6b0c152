"""What a changed document costs the next question, and what a restart does, over HTTP.

    python benchmarks/bench_document_change.py
    python benchmarks/bench_document_change.py --model some.gguf --rounds 5

A question in a new conversation and one in a long conversation, each asked of unchanged documents, of documents
just changed and read ahead in the background, and of documents changed this moment. They take turns, so that
whatever else the machine does hits all alike. Nothing is recalled for any of them. Then: two answers run while a document changes; and the server is
started again over the same folder.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from desktop_server import Answer, Desktop, desktop
from gguf_models import SentencePieceVocabulary
from household import Household
from measuring import describe_run, middle, model_file, model_options, show, verdict

LIMIT = 1.5
LONG = "default"
RUNNING_TOKENS = 250

Measured = dict[str, list[Answer]]


def rounds_of(running: Desktop, texts: Household, rounds: int, tokens: int) -> Measured:
    """Answers of each kind, in turns."""
    found: Measured = {}
    new = 0

    def ask(kind: str, *, long: bool) -> None:
        nonlocal new
        conversation = LONG
        if not long:
            new += 1
            conversation = running.assistant.conversations.create(f"new-{new}").conversation_id
        found.setdefault(kind, []).append(running.ask(texts.question(), conversation, tokens))

    def converse() -> None:
        """The long conversation is the latest again, and all that is known is read ahead."""
        running.ask(texts.question(), LONG, tokens)
        running.read_ahead()

    for _ in range(rounds):
        for kind, long in (("new conversation", False), ("long conversation", True)):
            converse()
            ask(f"{kind}, unchanged", long=long)
            converse()
            running.append(texts.text(2))
            running.read_ahead()
            ask(f"{kind}, log entry read ahead", long=long)
        converse()
        running.append(texts.text(2))
        ask("new conversation, log entry this moment", long=False)
        converse()
        running.append(texts.text(2))
        ask("long conversation, log entry this moment", long=True)
    return found


def pauses(running: Desktop, texts: Household) -> tuple[float, float, int]:
    """Longest pause of two running answers, undisturbed and while a document changed; tokens read meanwhile."""

    def two_answers(change: bool) -> float:
        names = [running.assistant.conversations.create().conversation_id for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(running.ask, texts.question(), name, RUNNING_TOKENS) for name in names]
            if change:
                while running.figures().get("running", 0) < 2:
                    time.sleep(0.01)
                running.edit(
                    "PROJECT_CONTEXT.md", "## Decisions\n", f"## Decisions\n\n- {texts.sentence()}\n"
                )
            return max(future.result().longest_pause_s for future in asked)

    quiet = two_answers(False)
    before = running.figures()["prefilled"]
    disturbed = two_answers(True)
    return quiet, disturbed, running.figures()["prefilled"] - before


def one_chunk(running: Desktop, texts: Household, chunk: int) -> float:
    """Seconds for a chunk of prompt tokens behind the documents: about that many new words are asked."""
    running.read_ahead()
    name = running.assistant.conversations.create().conversation_id
    question = texts.text(60)
    while running.assistant.count_tokens(question) > chunk:
        question = question.rsplit(" ", 1)[0]
    return running.ask(question, name, 2).first_s


@click.command(help=__doc__)
@model_options()
@click.option("--window", default=8192, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--tokens", default=16, show_default=True, help="Of each answer.")
def main(
    model: Path | None, size: str, quant: str, threads: int, window: int, rounds: int, tokens: int
) -> None:
    describe_run()
    spelling = SentencePieceVocabulary()
    with model_file(model, size, quant, spelling) as path, tempfile.TemporaryDirectory() as folder:
        data, texts = Path(folder) / "data", Household()
        with desktop(path, data, threads=threads, window=window, texts=texts, recalls=False) as running:
            for _ in range(8):
                running.assistant.conversations.add_message(LONG, "user", texts.question())
                running.assistant.conversations.add_message(LONG, "assistant", texts.text(5))
            found = rounds_of(running, texts, rounds, tokens)
            chunk = running.assistant.settings.engine.prefill_chunk
            quiet, disturbed, computed = pauses(running, texts)
            chunk_s = one_chunk(running, texts, chunk)
            running.read_ahead()
            saved = _wait_saved(data)
        with desktop(path, data, threads=threads, window=window, texts=None, recalls=False) as running:
            before = running.figures()["prefilled"]
            name = running.assistant.conversations.create().conversation_id
            after = running.ask(texts.question(), name, tokens)
            read = running.figures()["prefilled"] - before
    _tell(found, threads)
    print(
        f"longest pause of two running answers: {quiet:.3f} s undisturbed, {disturbed:.3f} s while a document "
        f"changed ({computed:,} tokens read meanwhile)"
    )
    print(
        f"that pause against one chunk of {chunk} tokens ({chunk_s:.3f} s): {verdict(disturbed / chunk_s, 1, least=False)}"
    )
    print(
        f"after a restart (prefix on disk: {saved}): {after.cached:,} of {after.prompt:,} tokens cached, "
        f"first token after {after.first_s:.2f} s, {read:,} tokens read"
    )


def _wait_saved(data: Path) -> bool:
    """Whether the prefix is on disk, after at most ten seconds of nothing to do."""
    newest = 0.0
    for _ in range(40):
        files = list((data / "engine").glob("prefix-*.kv"))
        latest = max((file.stat().st_mtime for file in files), default=0.0)
        if latest and latest == newest:
            return True
        newest = latest
        time.sleep(0.25)
    return False


def _tell(found: Measured, threads: int) -> None:
    middles = {kind: middle([one.first_s for one in answers]) for kind, answers in found.items()}
    rows = []
    for kind, answers in found.items():
        unchanged = middles[f"{kind.split(',')[0]}, unchanged"]
        rows.append(
            [
                kind,
                f"{middle([float(one.prompt) for one in answers]):,.0f}",
                f"{middle([one.ratio for one in answers]):.3f}",
                f"{middles[kind]:.3f}",
                f"{middles[kind] / unchanged:.2f}",
            ]
        )
    columns = ["question", "prompt", "cached", "first token, median (s)", "x unchanged"]
    show(f"first token after a document changed, {threads} threads", columns, rows)
    for kind in ("new conversation", "long conversation"):
        ratio = middles[f"{kind}, log entry read ahead"] / middles[f"{kind}, unchanged"]
        print(f"{kind}, first question after a change, read ahead: {verdict(ratio, LIMIT, least=False)}")


if __name__ == "__main__":
    main()
