"""Score drafts of handoffs against labelled sessions: how many lines are right, how many facts are found.

    python benchmarks/bench_handoff.py benchmarks/handoffs/*.yaml             # explicit markers only
    python benchmarks/bench_handoff.py session.yaml --url http://gpu-box:8000/v1  # any OpenAI-compatible server's model
    python benchmarks/bench_handoff.py session.yaml --model mistral.gguf          # a file's

A session file (YAML or JSON) holds `turns`, a list of `{user: text}` or `{assistant: text}`, and `items`, a list of
`{kind, quote}`: what a careful person would note, each with words of the session. `kind` is one of decided,
done, todo, question, about_owner, fact.

A drafted line is right when its quote overlaps the quote of a labelled item of its kind: the shorter has at
least half of the words in common with the longer in one message. Questions that are merely listed as asked, files
and commands are counted as lines, not scored. `none: true` marks a session from which nothing should be taken.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import yaml
from measuring import console, describe_run
from orchestrator_core.assistant import open_assistant
from orchestrator_core.assistant.minutes import proposer_of
from orchestrator_core.handoff.extract import extract
from orchestrator_core.handoff.item import Kind, key
from orchestrator_core.handoff.session import Handoffs
from orchestrator_core.settings import Settings
from rich.table import Table
from shared_context.conversations.messages import Message

SCORED = frozenset({Kind.DECIDED, Kind.DONE, Kind.TODO, Kind.QUESTION, Kind.OWNER, Kind.FACT})
OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class Line:
    kind: str
    quote: str


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of one session's draft."""

    name: str
    lines: int
    scored: int
    right: int
    labelled: int
    found: int
    seconds: float


@click.command(help=__doc__)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--url", help="OpenAI-compatible server whose model proposes the items.")
@click.option("--model", help="Its name there, or a GGUF file.")
def main(files: tuple[Path, ...], url: str | None, model: str | None) -> None:
    describe_run()
    with ExitStack() as stack:
        draft = stack.enter_context(proposals_of(url, model)) if url or model else marked_lines
        scores = []
        for file in files:
            session = yaml.safe_load(file.read_text("utf-8"))
            began = time.perf_counter()
            lines = draft(session["turns"])
            scores.append(score(file.stem, lines, session.get("items") or [], time.perf_counter() - began))
    show(scores, f"proposed by {model or url}" if url or model else "explicit markers, no model")


def marked_lines(turns: Sequence[dict[str, str]]) -> list[Line]:
    return [Line(item.kind, item.quote) for item in extract(messages_of(turns))]


def messages_of(turns: Sequence[dict[str, str]]) -> list[Message]:
    return [
        Message(f"m{number:04}", "bench", role, text, f"2026-11-30T10:{number // 60:02}:{number % 60:02}Z")
        for number, turn in enumerate(turns)
        for role, text in turn.items()
    ]


@contextmanager
def proposals_of(
    url: str | None, model: str | None
) -> Iterator[Callable[[Sequence[dict[str, str]]], list[Line]]]:
    """Drafts as a desktop with this model makes them."""
    with tempfile.TemporaryDirectory() as data:
        settings = Settings.model_validate(
            {
                "data": data,
                "model": {"url": url, **({"path": model} if model else {})},
                "handoff": {"model": "always"},
            }
        )
        with open_assistant(settings) as assistant:
            assert assistant.context is not None
            handoffs = Handoffs(assistant.conversations, assistant.context, proposer_of(assistant))

            def draft(turns: Sequence[dict[str, str]]) -> list[Line]:
                name = f"bench-{time.time_ns()}"
                assistant.conversations.create(name)
                for turn in turns:
                    for role, text in turn.items():
                        assistant.conversations.add_message(name, role, text)
                return [Line(item.kind, item.quote) for item in handoffs.draft(name).items]

            yield draft


def score(name: str, lines: Sequence[Line], labels: Sequence[dict[str, str]], seconds: float) -> Score:
    scored = [line for line in lines if line.kind in SCORED]
    right = sum(any(same(line, label) for label in labels) for line in scored)
    found = sum(any(same(line, label) for line in scored) for label in labels)
    return Score(name, len(lines), len(scored), right, len(labels), found, seconds)


def same(line: Line, label: dict[str, str]) -> bool:
    if line.kind != label["kind"]:
        return False
    mine, theirs = set(_words(line.quote)), set(_words(label["quote"]))
    shorter = min(len(mine), len(theirs))
    return shorter > 0 and len(mine & theirs) / shorter >= OVERLAP


def _words(text: str) -> list[str]:
    """Words; of text without spaces its characters."""
    words = key(text).split()
    return (
        words
        if any(word.isascii() for word in words)
        else [character for word in words for character in word]
    )


def show(scores: Sequence[Score], title: str) -> None:
    table = Table(title=title)
    for heading in ("session", "lines", "scored", "right", "precision", "labelled", "found", "recall", "s"):
        table.add_column(heading, justify="left" if heading == "session" else "right")
    for each in [*scores, total(scores)]:
        table.add_row(
            each.name,
            str(each.lines),
            str(each.scored),
            str(each.right),
            _share(each.right, each.scored),
            str(each.labelled),
            str(each.found),
            _share(each.found, each.labelled),
            f"{each.seconds:.2f}",
        )
    console.print(table)


def total(scores: Sequence[Score]) -> Score:
    return Score(
        "all",
        sum(each.lines for each in scores),
        sum(each.scored for each in scores),
        sum(each.right for each in scores),
        sum(each.labelled for each in scores),
        sum(each.found for each in scores),
        sum(each.seconds for each in scores),
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "-"


if __name__ == "__main__":
    main()
