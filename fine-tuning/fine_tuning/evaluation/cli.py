"""`eval_em_f1.py`: score a model on held-out questions, and compare with an earlier evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fine_tuning.errors import LearningError
from fine_tuning.evaluation.answerers import Answerer, open_model
from fine_tuning.evaluation.evaluate import SETTINGS, load_items, perplexity, run, sample
from fine_tuning.evaluation.metrics import f1
from fine_tuning.evaluation.results import Evaluation, compared, evaluation, keep, kept, plot
from fine_tuning.evaluation.statistics import Comparison

FAILURES = (LearningError, FileNotFoundError)
_PATH = click.Path(path_type=Path)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a model is opened, the same in every command that asks one."""
    for option in (
        click.option("--threads", type=click.IntRange(1), default=2, help="Processor threads."),
        click.option(
            "--load_in_4bit", "--load-in-4bit", "four_bit", is_flag=True, help="A folder's model in NF4."
        ),
        click.option(
            "--window", type=click.IntRange(64), default=2048, help="Tokens of a GGUF file's context."
        ),
        click.option(
            "--max_tokens", "--max-tokens", type=click.IntRange(1), default=96, help="Of an answer."
        ),
    ):
        command = option(command)
    return command


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--model_path",
    "--model-path",
    required=True,
    help="GGUF file, Hugging Face folder, adapter's folder, or http://host:port/v1.",
)
@click.option("--adapter", type=_PATH, help="A LoRA as GGUF beside a GGUF file, or an adapter's folder.")
@click.option("--remote_model", "--remote-model", default="", help="What the server calls the model.")
@click.option(
    "--eval_file", "--eval-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True
)
@click.option("--with_documents", "--with-documents", is_flag=True, help="Short for --setting documents.")
@click.option("--setting", type=click.Choice(SETTINGS), default="bare", help="What stands around a question.")
@click.option("--limit", type=click.IntRange(1), help="Only a fixed sample of this many questions.")
@click.option("--perplexity/--no-perplexity", "surprise", default=True, help="Of the right answers.")
@click.option(
    "--results_dir", "--results-dir", type=_PATH, help="Keep the result here, and draw all that are kept."
)
@click.option("--against", type=_PATH, help="Compare with this kept result, question by question.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
@click.option("--show", type=click.IntRange(0), default=0, help="Also show this many of the worst answers.")
@model_options
def main(
    model_path: str,
    adapter: Path | None,
    remote_model: str,
    eval_file: Path,
    with_documents: bool,
    setting: str,
    limit: int | None,
    surprise: bool,
    results_dir: Path | None,
    against: Path | None,
    as_json: bool,
    show: int,
    max_tokens: int,
    window: int,
    four_bit: bool,
    threads: int,
) -> None:
    """Exact match, F1, answer length and perplexity of a model on held-out questions, decoded greedily."""
    setting = "documents" if with_documents else setting
    try:
        items = load_items(eval_file)
        items = sample(items, limit or len(items))
        earlier = kept(against) if against else None
        model = open_model(
            model_path,
            adapter=adapter,
            remote_model=remote_model,
            four_bit=four_bit,
            threads=threads,
            window=window,
        )
        try:
            answered = run(model, items, setting, max_tokens=max_tokens)
            measured = perplexity(model, items, setting) if surprise else None
        finally:
            model.close()
        name = " + ".join(Path(part).name for part in (model_path, adapter) if part)
        result = evaluation(remote_model or name, eval_file.name, setting, answered, measured)
        comparison = compared(result, earlier) if earlier else None
    except FAILURES as error:
        raise click.ClickException(str(error)) from error
    _print(result, comparison, as_json, show)
    if results_dir is not None:
        _keep(result, results_dir)


def opened(path: str, four_bit: bool, threads: int, window: int) -> Answerer:
    return open_model(path, four_bit=four_bit, threads=threads, window=window)


def in_words(comparison: Comparison) -> str:
    """A comparison in three sentences."""
    smallest = comparison.smallest_f1
    return (
        f"F1 {comparison.f1.mean:+.3f} [{comparison.f1.low:+.3f}, {comparison.f1.high:+.3f}] on "
        f"{comparison.count} questions (paired bootstrap, 95 %).\n"
        f"Exact matches {comparison.exact_match:+.3f}: {comparison.gained} gained, {comparison.lost} lost "
        f"(McNemar, exact: p = {comparison.p_value:.3g}).\n"
        + (
            f"The smallest difference of F1 that these questions would show is {smallest:.3f}."
            if smallest is not None
            else "Every answer scores the same: how small a difference would show cannot be said."
        )
    )


def _print(result: Evaluation, comparison: Comparison | None, as_json: bool, show: int) -> None:
    summary = result.summary()
    if comparison is not None:
        summary["comparison"] = asdict(comparison)
    if as_json:
        click.echo(json.dumps(summary, indent=1))
        return
    _print_table(summary)
    if comparison is not None:
        click.echo(in_words(comparison))
    for row in sorted(result.answered, key=lambda row: f1(row.answer, row.item.truth))[:show]:
        click.echo(f"\n? {row.item.question}\n= {row.item.truth}\n> {row.answer}")


def _print_table(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("topic", "count", "EM", "F1", "F1, 95 %", "words")
    for name, row in [*summary["topics"].items(), ("all", summary)]:
        interval = row["f1_interval"]
        scores = (row["exact_match"], row["f1"])
        bounds = f"{interval['low']:.3f} to {interval['high']:.3f}"
        table.add_row(
            name or "-", str(row["count"]), *(f"{s:.3f}" for s in scores), bounds, f"{row['length']:.1f}"
        )
    console = Console()
    console.print(table)
    if summary["perplexity"] is not None:
        console.print(f"perplexity of the right answers: {summary['perplexity']:.2f}")


def _keep(result: Evaluation, folder: Path) -> None:
    try:
        click.echo(f"kept: {keep(result, folder)}", err=True)
        click.echo(f"all results: {plot(folder)}", err=True)
    except OSError as error:
        raise click.ClickException(f"Cannot keep the result in {str(folder)!r}: {error}") from error
    except ImportError as error:
        click.echo(f"no plot without {error.name}: `orchestrator install train`", err=True)
