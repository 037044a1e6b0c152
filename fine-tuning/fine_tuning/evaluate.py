"""EM, F1 and answer length of a model over a file of questions: `eval_em_f1.py`.

Three settings, because the server never sends a bare question:

    bare         the question alone
    server       the server's system text and a time line
    documents    the same with an owner's four handoff documents
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import click

from fine_tuning.answerers import GREEDY, Answerer, Sampling, open_model
from fine_tuning.contexts import OWNERS, server_question, server_system_text
from fine_tuning.metrics import Scores, f1, score

SETTINGS = ("bare", "server", "documents")


class EvaluationError(ValueError):
    """An evaluation file cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question with its right answer."""

    question: str
    truth: str
    topic: str = ""
    fact: str = ""
    wording: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    item: Item
    answer: str


def load_items(path: Path) -> list[Item]:
    """Items of a JSON list or of JSONL: instruction, optional input, output.

    Raises:
        EvaluationError: no such file, not JSON, or a row without instruction and output.
    """
    try:
        text = path.read_text("utf-8")
        rows = _json_rows(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise EvaluationError(f"Cannot read {str(path)!r}: {error}") from error
    return [_item(path, number, row) for number, row in enumerate(rows, start=1)]


def item_of(row: Any) -> Item:
    """An item of an example of the dataset."""
    return Item(row.instruction, row.output, row.topic, row.fact, row.wording)


def run(
    model: Answerer,
    items: Sequence[Item],
    setting: str = "bare",
    *,
    max_tokens: int = 96,
    sampling: Sampling = GREEDY,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Answered]:
    """Answers to all items in one setting, in the order of the items.

    With documents the owners take turns by halves, so that each one's prefix is computed once.
    Sampled answers have a seed each: with one for all, a lucky seed would flatter every answer.
    """
    answered = []
    for number, item in enumerate(items):
        owner = OWNERS[number * len(OWNERS) // len(items)] if setting == "documents" else None
        bare = setting == "bare"
        said = model.answer(
            item.question if bare else server_question(item.question, number),
            system="" if bare else server_system_text(owner),
            max_tokens=max_tokens,
            sampling=replace(sampling, seed=sampling.seed + number) if sampling.temperature else sampling,
        )
        answered.append(Answered(item, said))
        progress(number + 1)
    return answered


def overall(answered: Iterable[Answered]) -> Scores:
    return score((row.answer, row.item.truth) for row in answered)


def by(answered: Sequence[Answered], field: str) -> dict[str, Scores]:
    """Scores per topic, fact or wording, in order of first appearance."""
    names = dict.fromkeys(getattr(row.item, field) for row in answered)
    return {name: overall(row for row in answered if getattr(row.item, field) == name) for name in names}


def sample(items: Sequence[Item], count: int, seed: int = 1) -> list[Item]:
    """A fixed sample in the original order; everything when there are not more."""
    if len(items) <= count:
        return list(items)
    chosen = sorted(Random(seed).sample(range(len(items)), count))
    return [items[number] for number in chosen]


def _json_rows(text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        rows: list[Any] = json.loads(text)
        return rows
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _item(path: Path, number: int, row: Any) -> Item:
    fields = ("instruction", "output")
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in fields):
        raise EvaluationError(f"Row {number} of {str(path)!r} needs the texts instruction and output.")
    question = "\n\n".join(part for part in (row["instruction"], row.get("input") or "") if part)
    known = {name: str(row.get(name, "")) for name in ("topic", "fact", "wording")}
    return Item(question, row["output"], **known)


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--model_path", "--model-path", type=click.Path(exists=True, path_type=Path), required=True)
@click.option(
    "--eval_file", "--eval-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True
)
@click.option("--with_documents", "--with-documents", is_flag=True, help="Short for --setting documents.")
@click.option("--setting", type=click.Choice(SETTINGS), default="bare", help="What stands around a question.")
@click.option("--limit", type=click.IntRange(1), help="Only a fixed sample of this many questions.")
@click.option("--max_tokens", "--max-tokens", type=click.IntRange(1), default=96)
@click.option("--threads", type=click.IntRange(1), default=2)
@click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
@click.option("--show", type=click.IntRange(0), default=0, help="Also show this many of the worst answers.")
def main(
    model_path: Path,
    eval_file: Path,
    with_documents: bool,
    setting: str,
    limit: int | None,
    max_tokens: int,
    threads: int,
    as_json: bool,
    show: int,
) -> None:
    """Exact match, F1 and answer length of a GGUF file or Hugging Face folder, decoded greedily."""
    setting = "documents" if with_documents else setting
    try:
        items = load_items(eval_file)
        model = open_model(model_path, threads=threads)
    except (EvaluationError, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error
    answered = run(model, sample(items, limit or len(items)), setting, max_tokens=max_tokens)
    model.close()
    total, topics = overall(answered), by(answered, "topic")
    if not as_json:
        _print_table(total, topics)
        for row in sorted(answered, key=lambda row: f1(row.answer, row.item.truth))[:show]:
            click.echo(f"\n? {row.item.question}\n= {row.item.truth}\n> {row.answer}")
    click.echo(
        json.dumps(
            {
                "model": model_path.name,
                "eval_file": eval_file.name,
                "setting": setting,
                **asdict(total),
                "topics": {name: asdict(scores) for name, scores in topics.items()},
            },
            indent=1,
        )
    )


def _print_table(total: Scores, topics: dict[str, Scores]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("topic", "count", "EM", "F1", "words")
    for name, scores in [*topics.items(), ("all", total)]:
        table.add_row(
            name or "-",
            str(scores.count),
            f"{scores.exact_match:.3f}",
            f"{scores.f1:.3f}",
            f"{scores.length:.1f}",
        )
    Console().print(table)
