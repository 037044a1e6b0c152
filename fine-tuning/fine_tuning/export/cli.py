"""`export_gguf.py`: write a run's model as GGUF, and say how far it is from the trained one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fine_tuning.errors import LearningError
from fine_tuning.export.exported_run import export
from fine_tuning.export.gguf_conversion import DEFAULT_QUANTISATION, QUANTISATIONS
from fine_tuning.training.dialogues import read_dialogues

COMPARED = 40
"""Held-out dialogues that are compared; more say the same more slowly."""


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--model_path",
    "--model-path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of a finished training.",
)
@click.option(
    "--eval_file",
    "--eval-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Held-out examples to compare over.",
)
@click.option(
    "--output_dir",
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files go; the run's gguf folder if not given.",
)
@click.option(
    "--base_gguf",
    "--base-gguf",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The base as servers have it, to compare the adapter beside.",
)
@click.option(
    "--quantize",
    "kinds",
    type=click.Choice(list(QUANTISATIONS)),
    multiple=True,
    default=[DEFAULT_QUANTISATION],
    help="Of the merged model; may be given several times.",
)
@click.option("--adapter_only", "--adapter-only", is_flag=True, help="Leave the merged model out.")
@click.option("--threads", type=click.IntRange(0), default=0, help="For quantising; 0: all.")
def main(
    model_path: Path,
    eval_file: Path,
    output_dir: Path | None,
    base_gguf: Path | None,
    kinds: tuple[str, ...],
    adapter_only: bool,
    threads: int,
) -> None:
    """Write a trained model as a LoRA GGUF and as a merged, quantised GGUF.

    Ends with status 1 when a file differs from the trained model by more than its margin.
    """
    try:
        done = export(
            model_path,
            output_dir or model_path / "gguf",
            read_dialogues(eval_file)[:COMPARED],
            base_gguf=base_gguf,
            kinds=kinds,
            merged=not adapter_only,
            threads=threads,
            say=click.echo,
        )
    except LearningError as error:
        raise click.ClickException(str(error)) from error
    for file in (done.adapter, *done.merged):
        click.echo(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
    if done.faults:
        sys.exit(1)
