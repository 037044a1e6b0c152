"""`train_mistral_qlora.py` and `train_with_config.py`: every key of the recipe is a flag."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from fine_tuning.errors import Interrupted, LearningError
from fine_tuning.training.recipe import TrainingRecipe, load_recipe
from fine_tuning.training.recipe_flags import recipe_flags
from fine_tuning.training.run_folder import new_run_folder

OUTPUTS = Path("outputs")
LINE_EVERY = 10
"""Steps between lines where there is no terminal to draw a bar on."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with keys of the recipe; flags override it.",
)
@click.option(
    "--lora", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="YAML file of the adapter."
)
@click.option("--resume", is_flag=True, help="Go on with the run in --output_dir, with the same batches.")
@click.option("--estimate", is_flag=True, help="Say how much memory it takes at most; start nothing.")
@recipe_flags
def main(config: Path | None, lora: Path | None, resume: bool, estimate: bool, **flags: Any) -> None:
    """Fine-tune a model by QLoRA on a file of examples.

    Mistral 7B with the defaults needs a GPU with 8 GB; a small model trains on a CPU.
    """
    try:
        recipe = load_recipe(config, lora, flags)
        if resume and recipe.output_dir is None:
            raise click.UsageError("--resume needs --output_dir: the folder of the run.")
        if estimate:
            _estimate(recipe)
            return
        folder = recipe.output_dir or new_run_folder(recipe, OUTPUTS)
        _train(recipe, folder, resume)
    except Interrupted as error:
        click.echo(str(error), err=True)
        sys.exit(130)
    except LearningError as error:
        raise click.ClickException(str(error)) from error
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"Training needs {error.name}, which is not installed. Run: `orchestrator install train`"
        ) from error


def _train(recipe: TrainingRecipe, folder: Path, resume: bool) -> None:
    from fine_tuning.training.qlora_training import train

    shown = _Shown()
    with shown.bar or nullcontext():
        train(recipe, folder, resume=resume, report=shown.report, say=shown.say)
    click.echo(f"The adapter is in {folder}")


def _estimate(recipe: TrainingRecipe) -> None:
    from fine_tuning.quiet_libraries import silenced

    with silenced():
        from fine_tuning.training.base_model import resolved
        from fine_tuning.training.memory_estimate import estimate_memory
        from fine_tuning.training.memory_report import REFERENCE, memory_report
        from fine_tuning.training.precision import this_device

        here = this_device()
        device = here if here.kind == "cuda" else REFERENCE
        source = resolved(recipe.model)
        lines = memory_report(
            recipe, device, lambda asked: estimate_memory(asked, source, device, asked.max_seq_length)
        )
    if device is REFERENCE:
        click.echo("There is no NVIDIA GPU here; these are the figures for one like the RTX 2080.", err=True)
    click.echo("\n".join(lines))


class _Shown:
    """A bar on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self.bar = Progress(*columns) if sys.stderr.isatty() or sys.stdout.isatty() else None
        self._task = self.bar.add_task("loading", total=None) if self.bar else None

    def report(self, progress: Any) -> None:
        if self.bar is not None and self._task is not None:
            text = described(progress)
            self.bar.update(self._task, completed=progress.step, total=progress.steps, description=text)
        elif progress.step % LINE_EVERY == 0 or progress.step == progress.steps:
            click.echo(f"step {progress.step}/{progress.steps}  {described(progress)}")

    def say(self, text: str) -> None:
        if self.bar is not None:
            self.bar.console.print(text, markup=False)
        else:
            click.echo(text)


def described(progress: Any) -> str:
    """Loss, speed, memory and time left, in words."""
    loss = "-" if progress.loss is None else f"{progress.loss:.3f}"
    minutes, seconds = divmod(round(progress.left_s), 60)
    memory = progress.memory / 2**30
    return (
        f"loss {loss}  {progress.tokens_per_s:.0f} tokens/s  {memory:.1f} GiB  {minutes}:{seconds:02d} left"
    )
