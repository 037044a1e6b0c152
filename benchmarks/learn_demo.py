"""`make learn-demo`: a small pretrained model learns this project on a CPU, and every figure of it is printed.

Two QLoRA trainings (NF4): on all topics but one, then with it. Held-out wordings are asked in the same prompt of the
base and of both adapters, each as a LoRA GGUF beside the base; then the last one is exported both ways, compared with
the trained model, and rolled out to a running desktop and VPS and back (`learn_rollout`). Needs Gemma 3 270M (`make setup-dev` fetches it) or another model by --model.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click
from fine_tuning.demo_data import TOPICS, demo_split, without
from fine_tuning.evaluation.answerers import GgufAnswerer
from fine_tuning.evaluation.metrics import Scores, score
from fine_tuning.export.exported_run import export
from fine_tuning.export.gguf_conversion import model_gguf
from fine_tuning.training.qlora_training import train
from fine_tuning.training.recipe import load_recipe
from learn_rollout import roll_out
from support.fetched import gemma
from training_data.dataset import Example, write_rows
from training_data.reader import read_records

LATER = "continuity"
"""The topic that is left out first."""
COMPARED = 12
"""Held-out dialogues of the parity checks."""


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("outputs/learn-demo"))
@click.option(
    "--model", type=click.Path(exists=True, path_type=Path), help="Instead of Gemma: a GGUF or a folder."
)
@click.option("--facts", type=click.IntRange(1), default=8, help="Facts of each topic.")
@click.option("--wordings", type=click.IntRange(1), default=5, help="Wordings of each fact that are learnt.")
@click.option("--epochs", type=click.IntRange(1), default=2)
@click.option("--threads", type=click.IntRange(1), default=2)
@click.option(
    "--roll-out/--no-roll-out", "rolled_out", default=True, help="To a desktop and a VPS, and back."
)
def main(
    folder: Path, model: Path | None, facts: int, wordings: int, epochs: int, threads: int, rolled_out: bool
) -> None:
    """Train, ask, export, compare, roll out; prints JSON at the end."""
    began = time.monotonic()
    model = model or gemma()
    folder.mkdir(parents=True, exist_ok=True)
    split = demo_split(facts, wordings, 1)
    write_rows((row.as_dict() for row in split.val), folder / "val.jsonl")
    base = model if model.is_file() else model_gguf(model, folder / "base-f16.gguf")
    results = {"base": _asked(base, None, split.val, threads)}
    for name, examples in (("without", without(split.train, LATER)), ("with", split.train)):
        data = folder / f"{name}.jsonl"
        write_rows((row.as_dict() for row in examples), data)
        flags = {
            "model": str(model),
            "data_path": data,
            "num_epochs": epochs,
            "batch_size": 4,
            "gradient_accumulation_steps": 1,
            "learning_rate": 1e-3,
            "lora_r": 16,
            "lora_dropout": 0.0,
            "max_seq_length": 160,
            "gradient_checkpointing": False,
            "threads": threads,
        }
        run = train(load_recipe(flags=flags), folder / name, report=_line, say=click.echo)
        held_out = read_records(folder / "val.jsonl")[:COMPARED]
        done = export(
            run,
            folder / "gguf",
            held_out,
            base_gguf=base,
            merged=name == "with",
            threads=threads,
            say=click.echo,
        )
        results[name] = _asked(base, done.adapter, split.val, threads)
        adapter = done.adapter
    if rolled_out:
        roll_out(folder / "household", base, adapter, folder / "with", folder / "val.jsonl")
    click.echo(json.dumps({"seconds": round(time.monotonic() - began), "f1": results}, indent=1))


def _asked(base: Path, adapter: Path | None, questions: Sequence[Example], threads: int) -> dict[str, float]:
    model = GgufAnswerer(base, adapter=adapter, threads=threads, window=256)
    pairs = [(row.topic, (model.answer(row.instruction, max_tokens=64), row.output)) for row in questions]
    model.close()
    scores: dict[str, Scores] = {"all": score(pair for _, pair in pairs)}
    scores |= {topic: score(pair for of, pair in pairs if of == topic) for topic in TOPICS}
    return {name: round(scored.f1, 3) for name, scored in scores.items()}


def _line(progress: object) -> None:
    step, steps, loss = (getattr(progress, name) for name in ("step", "steps", "loss"))
    if step % 10 == 0 or step == steps:
        click.echo(f"step {step}/{steps}  loss {loss}")


if __name__ == "__main__":
    main()
