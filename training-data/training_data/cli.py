"""`generate_training_data.py`: write the dataset, and optionally its two splits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from training_data.dataset import (
    DEFAULT_SEED,
    build_examples,
    split_examples,
    write_examples,
)


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("continuity_dataset.json"),
    help="Dataset to write: a JSON list, or JSONL when the name ends in .jsonl.",
)
@click.option("--format", "form", type=click.Choice(["json", "jsonl"]), help="Overrides the name's ending.")
@click.option("--seed", type=int, default=DEFAULT_SEED, help="Same seed, same files.")
@click.option(
    "--val-split",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    help="Also write NAME.train and NAME.val with this share of unseen wordings in the latter.",
)
def main(output: Path, form: str | None, seed: int, val_split: float) -> None:
    """Write the dataset of this project's facts: instruction, input, output, topic, fact."""
    if form is not None:
        output = output.with_suffix(f".{form}")
    examples = build_examples(seed)
    files = {output: examples}
    if val_split:
        split = split_examples(examples, val_split, seed)
        files[output.with_suffix(f".train{output.suffix}")] = split.train
        files[output.with_suffix(f".val{output.suffix}")] = split.val
    for path, some in files.items():
        try:
            write_examples(some, path)
        except OSError as error:
            raise click.ClickException(f"Cannot write {str(path)!r}: {error}") from error
        facts = len({example.fact for example in some})
        click.echo(f"{path}: {len(some)} examples of {facts} facts")
    for topic, count in Counter(example.topic for example in examples).items():
        click.echo(f"  {topic:<13}{count:>6}")
