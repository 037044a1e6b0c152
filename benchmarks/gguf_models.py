"""Small GGUF models made on the spot, for tests and measurements.

python benchmarks/gguf_models.py random 100M model.gguf --quant Q4_K_M
python benchmarks/gguf_models.py random 100M model.gguf --tokenizer mistral
python benchmarks/gguf_models.py scripted model.gguf "The answer is 42."
"""

from __future__ import annotations

from pathlib import Path

import click
from gguf_random import DIRECT, INDIRECT, PRESETS, lora_adapter, preset_model, random_model
from gguf_scripted import scripted_model
from gguf_vocabulary import MISTRAL_TEMPLATE, SentencePieceVocabulary

__all__ = [
    "MISTRAL_TEMPLATE",
    "PRESETS",
    "SentencePieceVocabulary",
    "lora_adapter",
    "preset_model",
    "random_model",
    "scripted_model",
]


@click.group()
def main() -> None:
    """Write GGUF models for tests and benchmarks."""


@main.command("random")
@click.argument("size", type=click.Choice(list(PRESETS)))
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--quant", type=click.Choice([*DIRECT, *INDIRECT]), default="Q8_0", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--tokenizer", type=click.Choice(["own", "mistral"]), default="own", show_default=True)
def random_command(size: str, path: Path, quant: str, seed: int, tokenizer: str) -> None:
    """A Mistral-shaped model of SIZE parameters with random weights."""
    vocabulary = SentencePieceVocabulary() if tokenizer == "mistral" else None
    preset_model(path, size, quant=quant, seed=seed, vocabulary=vocabulary)
    click.echo(f"{path}: {PRESETS[size].parameters:,} parameters, {path.stat().st_size:,} bytes")


@main.command("scripted")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("sentence")
@click.option("--context", default=4096, show_default=True, help="Window in tokens.")
def scripted_command(path: Path, sentence: str, context: int) -> None:
    """A model that answers every prompt with SENTENCE."""
    scripted_model(path, sentence, context=context)
    click.echo(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
