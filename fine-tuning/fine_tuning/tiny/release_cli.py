"""`release_tiny.py`: ship a finished run as the built-in model."""

from __future__ import annotations

from pathlib import Path

import click
from training_data.errors import DatasetError

from fine_tuning.errors import LearningError

BUILTIN = Path(__file__).resolve().parents[2] / "builtin"


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--output-dir", type=click.Path(file_okay=False, path_type=Path), default=BUILTIN)
@click.option("--threads", type=click.IntRange(1), default=1)
def main(run: Path, output_dir: Path, threads: int) -> None:
    """Export the finished run in the folder RUN, measure the file, and write it with its model card."""
    from fine_tuning.tiny.release import release

    try:
        shipped = release(run, output_dir, threads=threads, say=click.echo)
    except (LearningError, DatasetError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{shipped} ({shipped.stat().st_size / 1e6:.1f} MB)")
