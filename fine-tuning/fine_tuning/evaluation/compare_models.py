"""`compare_models.py`: two models side by side on the same prompts."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from fine_tuning.evaluation.cli import FAILURES, in_words, model_options, opened
from fine_tuning.evaluation.evaluate import Answered, Item, load_items, overall, run, sample
from fine_tuning.evaluation.results import compared, evaluation


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two models' answers to the same prompts.

    Args:
        names: of the base and of the fine-tuned model.
        base, tuned: in the same order.
        verdict: figures in words, where the right answers are known; else "".
    """

    names: tuple[str, str]
    base: tuple[Answered, ...]
    tuned: tuple[Answered, ...]
    verdict: str = ""

    def rows(self) -> list[tuple[str, str, str]]:
        """Prompt, answer of the base, answer of the fine-tuned model."""
        return [
            (one.item.question, one.answer, two.answer)
            for one, two in zip(self.base, self.tuned, strict=True)
        ]


def side_by_side(names: tuple[str, str], base: Sequence[Answered], tuned: Sequence[Answered]) -> SideBySide:
    """With figures when every right answer is known."""
    verdict = ""
    if base and all(row.item.truth for row in base):
        results = [
            evaluation(name, "", "bare", rows) for name, rows in zip(names, (base, tuned), strict=True)
        ]
        scores = ", ".join(f"{r.model}: EM {overall(r.answered).exact_match:.3f}, F1 {r.f1}" for r in results)
        verdict = f"{scores}\n{in_words(compared(results[1], results[0]))}"
    return SideBySide(names, tuple(base), tuple(tuned), verdict)


def as_markdown(both: SideBySide) -> str:
    """A table; what is special in one is escaped, so that an answer cannot break out of its cell."""
    lines = [f"| prompt | {_cell(both.names[0])} | {_cell(both.names[1])} |", "|---|---|---|"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in both.rows()]
    return "\n".join([*lines, "", both.verdict]).rstrip() + "\n"


def as_html(both: SideBySide) -> str:
    """A page that loads nothing; every text is escaped."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("prompt", *both.names))
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in both.rows()
    )
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Two models</title>\n'
        "<style>body{font-family:sans-serif}td,th{border:1px solid #ccc;padding:.5em;vertical-align:top;"
        "white-space:pre-wrap;text-align:left}table{border-collapse:collapse}</style>\n"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>\n"
        f"<pre>{html.escape(both.verdict)}</pre></html>\n"
    )


def as_text(both: SideBySide) -> str:
    """For a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("prompt", *both.names, show_lines=True)
    for row in both.rows():
        table.add_row(*map(Text, row))
    console = Console()
    with console.capture() as capture:
        console.print(table)
    return capture.get() + both.verdict


FORMATS: dict[str, Callable[[SideBySide], str]] = {
    "terminal": as_text,
    "markdown": as_markdown,
    "html": as_html,
}


def prompt_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--prompts "one" "two"`, a file of questions, and the form of the table."""
    for option in (
        click.argument("more_prompts", nargs=-1),
        click.option("--prompts", multiple=True, help='What to ask: --prompts "one" "two".'),
        click.option(
            "--eval_file", "--eval-file", type=click.Path(path_type=Path), help="Questions with answers."
        ),
        click.option("--limit", type=click.IntRange(1), help="Only a fixed sample of the file's questions."),
        click.option("--format", "form", type=click.Choice(list(FORMATS)), default="terminal"),
        click.option(
            "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file."
        ),
    ):
        command = option(command)
    return command


def asked(prompts: Sequence[str], eval_file: Path | None, limit: int | None) -> list[Item]:
    """What both models are asked.

    Raises:
        click.UsageError: nothing. EvaluationError: the file cannot be used.
    """
    items = [Item(prompt, "") for prompt in prompts]
    if eval_file is not None:
        read = load_items(eval_file)
        items += sample(read, limit or len(read))
    if not items:
        raise click.UsageError("There is nothing to ask: give --prompts or --eval_file.")
    return items


def show(both: SideBySide, form: str, output: Path | None) -> None:
    text = FORMATS[form](both)
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise click.ClickException(f"Cannot write {str(output)!r}: {error}") from error


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--base_model", "--base-model", required=True, help="As --model_path of eval_em_f1.py.")
@click.option("--fine_tuned_model", "--fine-tuned-model", required=True, help="Likewise.")
@prompt_options
@model_options
def main(
    base_model: str,
    fine_tuned_model: str,
    prompts: tuple[str, ...],
    more_prompts: tuple[str, ...],
    eval_file: Path | None,
    limit: int | None,
    form: str,
    output: Path | None,
    max_tokens: int,
    window: int,
    four_bit: bool,
    threads: int,
) -> None:
    """Ask two models the same, and show their answers side by side."""
    try:
        items = asked((*prompts, *more_prompts), eval_file, limit)
        answers = []
        for path in (base_model, fine_tuned_model):
            # One after the other: both at once may not fit into memory.
            model = opened(path, four_bit, threads, window)
            try:
                answers.append(run(model, items, max_tokens=max_tokens))
            finally:
                model.close()
    except FAILURES as error:
        raise click.ClickException(str(error)) from error
    names = Path(base_model).name, Path(fine_tuned_model).name
    show(side_by_side(names, *answers), form, output)


def _cell(text: str) -> str:
    escaped = html.escape(text, quote=False).replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")
    return "<br>".join(escaped.splitlines())
