"""`train_tiny.py`: train the built-in model from scratch."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import click
from training_data.errors import DatasetError

from fine_tuning.errors import LearningError
from fine_tuning.tiny.recipe import TinyRecipe

log = logging.getLogger("fine_tuning")


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--output-dir",
    "--output_dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs/tiny"),
    help="Folder of the run; a run that was interrupted there is resumed.",
)
@click.option("--seed", type=int, default=TinyRecipe().seed, help="Same seed and machine class, same model.")
@click.option("--steps", type=click.IntRange(1), default=TinyRecipe().steps, help="Optimiser steps.")
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    help="Processor threads. The shipped model was made with 1; with 2 idle cores, 2 are faster.",
)
@click.option("--export/--no-export", default=True, help="Write a GGUF file when done.")
def main(output_dir: Path, seed: int, steps: int, threads: int, export: bool) -> None:
    """Train a Mistral-architecture model of about 5.5 million parameters on this project's dataset."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from fine_tuning.tiny.training import TinyProgress, train

    def report(progress: TinyProgress) -> None:
        held_out = "" if progress.validation_loss is None else f"  held-out {progress.validation_loss:.3f}"
        left = time.strftime("%H:%M:%S", time.gmtime(progress.left_s))
        log.info(
            "step %d/%d  loss %.3f%s  %.0f tokens/s  %s left",
            progress.step,
            progress.steps,
            progress.loss,
            held_out,
            progress.tokens_per_s,
            left,
        )

    recipe = replace(TinyRecipe(), seed=seed, steps=steps)
    try:
        trained = train(recipe, output_dir, threads=threads, report=report)
    except (LearningError, DatasetError) as error:
        raise click.ClickException(str(error)) from error
    if trained is None:
        return
    log.info("trained %s tokens in %.1f minutes", f"{trained.effort.tokens:,}", trained.effort.seconds / 60)
    if export:
        from fine_tuning.export.gguf_conversion import builtin_gguf

        try:
            file = builtin_gguf(output_dir / "hf", output_dir / "orchestrator-tiny.q8_0.gguf")
        except LearningError as error:
            raise click.ClickException(str(error)) from error
        log.info("wrote %s (%.1f MB)", file, file.stat().st_size / 1e6)
