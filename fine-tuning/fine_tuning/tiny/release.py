"""Turns a finished run into the model that is shipped: GGUF, metadata, model card.

Every number in the card is measured here, on the file that is written. A model whose
held-out F1 is below the promise is refused, and what was shipped before stays.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from training_data.dataset import Example, Split, fingerprint

from fine_tuning.errors import ReleaseRefused
from fine_tuning.evaluation.answerers import CHAT_DEFAULTS, GREEDY, FolderAnswerer, GgufAnswerer
from fine_tuning.evaluation.evaluate import SETTINGS, Answered, Item, by, item_of, overall, run, sample
from fine_tuning.evaluation.metrics import Scores
from fine_tuning.export.gguf_conversion import builtin_gguf
from fine_tuning.tiny.model_card import model_card
from fine_tuning.tiny.parity import UNICODE_SAMPLES, Parity, compare, token_differences
from fine_tuning.tiny.recipe import TinyRecipe
from fine_tuning.tiny.training import RUN_FILE, dataset_of, effort_of

NAME = "orchestrator-tiny"
LEAST_F1 = 0.60
"""What the project promises for wordings the model has never seen, in every setting."""
LARGEST_FILE = 16_000_000
"""Bytes; the file is kept in the repository."""
PARITY_QUESTIONS = 40
SAMPLED_QUESTIONS = 300
TRANSCRIPT = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything the card tells.

    Args:
        settings: scores on all held-out wordings, greedy, per setting.
        topics, wordings: the same for bare questions, by topic and by kind of wording.
        sampled: a sample of the questions in the server's setting, with a chat's default sampling.
        f32, q8_0: parity with the trained model.
        transcript: held-out questions with their answers, in the server's setting.
    """

    settings: dict[str, Scores]
    topics: dict[str, Scores]
    wordings: dict[str, Scores]
    sampled: Scores
    f32: Parity
    q8_0: Parity
    transcript: list[Answered]


ABOUT = {
    "general.name": "Orchestrator tiny",
    "general.description": "The built-in model of Orchestrator: knows this project and little else.",
    "general.license.name": "MIT",
    "general.version": "1",
    "general.sampling.temp": GREEDY.temperature,
    "general.sampling.penalty_repeat": GREEDY.repetition_penalty,
}
"""What the file says of itself; it advises the sampling that its scores were measured with."""


def release(
    folder: Path, target: Path, *, threads: int = 1, say: Callable[[str], None] = lambda _: None
) -> Path:
    """Export, measure and ship the run in `folder` as `target/orchestrator-tiny.gguf`.

    Raises:
        ReleaseRefused: the dataset is not the one of the run, the export differs from the
            trained model, the file is too large, or the model is too bad.
    """
    recipe, split = _claimed(folder)
    with TemporaryDirectory() as scratch:
        f32, q8_0 = (
            builtin_gguf(folder / "hf", Path(scratch, f"{NAME}.{form}.gguf"), form, ABOUT)
            for form in ("f32", "q8_0")
        )
        measured = _measure(folder, f32, q8_0, split, threads, say)
        _gate(measured, q8_0)
        target.mkdir(parents=True, exist_ok=True)
        shipped = target / f"{NAME}.gguf"
        about = _about(recipe, split, folder, measured, q8_0)
        part = shipped.with_suffix(".part")
        shutil.copyfile(q8_0, part)
        part.replace(shipped)
    (target / f"{NAME}.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    (target / "MODEL_CARD.md").write_text(model_card(about, _lines(measured.transcript)), "utf-8")
    return shipped


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Questions by hand, spread evenly over the topics' order; for transcripts."""
    written = [item for item in items if item.wording == "written"] or list(items)
    step = max(1, len(written) // count)
    return written[step // 2 :: step][:count]


def _claimed(folder: Path) -> tuple[TinyRecipe, Split]:
    file = folder / RUN_FILE
    if not file.is_file():
        raise ReleaseRefused(f"{str(folder)!r} holds no finished run of train_tiny.py.")
    claim = json.loads(file.read_text("utf-8"))
    recipe = TinyRecipe.from_dict(claim["recipe"])
    split = dataset_of(recipe)
    if fingerprint(split) != claim["dataset_sha256"]:
        raise ReleaseRefused("The facts have changed since this run began: its scores would mean nothing.")
    if effort_of(folder).steps < recipe.steps:
        raise ReleaseRefused("The training is not finished: run train_tiny.py again to resume it.")
    return recipe, split


def _measure(
    folder: Path, f32: Path, q8_0: Path, split: Split, threads: int, say: Callable[[str], None]
) -> Measured:
    items = [item_of(example) for example in split.val]
    trained = FolderAnswerer(folder / "hf", threads=threads)
    shipped = GgufAnswerer(q8_0, threads=threads)
    _check_tokens(trained, shipped, split)
    questions = [item.question for item in sample(items, PARITY_QUESTIONS)]
    exact = GgufAnswerer(f32, threads=threads)
    parity = compare(trained, exact, questions), compare(trained, shipped, questions)
    exact.close()
    say(f"parity with the trained model: f32 {parity[0]}, q8_0 {parity[1]}")
    answered = {}
    for setting in SETTINGS:
        answered[setting] = run(shipped, items, setting)
        say(f"{setting}: {overall(answered[setting])}")
    sampled = run(
        shipped, sample(items, SAMPLED_QUESTIONS), "server", sampling=replace(CHAT_DEFAULTS, seed=20261)
    )
    transcript = run(shipped, spread(items, TRANSCRIPT), "server", sampling=GREEDY)
    shipped.close()
    return Measured(
        settings={setting: overall(rows) for setting, rows in answered.items()},
        topics=by(answered["bare"], "topic"),
        wordings=by(answered["bare"], "wording"),
        sampled=overall(sampled),
        f32=parity[0],
        q8_0=parity[1],
        transcript=transcript,
    )


def _check_tokens(trained: FolderAnswerer, shipped: GgufAnswerer, split: Split) -> None:
    examples = (*split.train, *split.val)
    texts = [text for example in examples for text in (example.instruction, example.output)]
    different = token_differences(trained.tokenizer.backend_tokenizer, shipped, [*UNICODE_SAMPLES, *texts])
    if different:
        raise ReleaseRefused(f"llama.cpp cuts {len(different)} texts into other tokens: {different[:3]!r}")


def _gate(measured: Measured, file: Path) -> None:
    for setting, scores in measured.settings.items():
        if scores.f1 < LEAST_F1:
            raise ReleaseRefused(
                f"F1 on held-out wordings is {scores.f1:.3f} ({setting}); at least {LEAST_F1} is promised."
            )
    if not measured.f32.is_exact or not measured.q8_0.is_close:
        raise ReleaseRefused(
            f"The exported model differs from the trained one: {measured.f32}, {measured.q8_0}."
        )
    if file.stat().st_size > LARGEST_FILE:
        raise ReleaseRefused(
            f"The file has {file.stat().st_size:,} bytes; at most {LARGEST_FILE:,} are allowed."
        )


def _about(recipe: TinyRecipe, split: Split, folder: Path, measured: Measured, file: Path) -> dict[str, Any]:
    config = json.loads((folder / "hf" / "config.json").read_text("utf-8"))
    return {
        "name": NAME,
        "file": f"{NAME}.gguf",
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "architecture": "llama (MistralForCausalLM)",
        "quantization": "Q8_0",
        "parameters": _parameters(folder),
        "context_length": config["max_position_embeddings"],
        "recipe": recipe.as_dict(),
        "effort": asdict(effort_of(folder)),
        "machine": _machine(),
        "dataset": {
            "sha256": fingerprint(split),
            "facts": len({example.fact for example in split.train}),
            "train": len(split.train),
            "held_out": len(split.val),
            "held_out_by_wording": _counts(split.val),
        },
        "held_out": {name: asdict(scores) for name, scores in measured.settings.items()},
        "held_out_topics": {name: asdict(scores) for name, scores in measured.topics.items()},
        "held_out_wordings": {name: asdict(scores) for name, scores in measured.wordings.items()},
        "held_out_sampled": asdict(measured.sampled),
        "parity": {"f32": asdict(measured.f32), "q8_0": asdict(measured.q8_0)},
    }


def _counts(examples: Sequence[Example]) -> dict[str, int]:
    kinds = dict.fromkeys(example.wording for example in examples)
    return {kind: sum(example.wording == kind for example in examples) for kind in kinds}


def _parameters(folder: Path) -> int:
    from safetensors import safe_open

    total = 0
    with safe_open(folder / "hf" / "model.safetensors", "np") as file:
        for name in file.keys():  # noqa: SIM118 - safetensors' handle is no mapping
            size = 1
            for length in file.get_slice(name).get_shape():
                size *= length
            total += size
    return total


def _machine() -> dict[str, Any]:
    """The class of machine, without its name."""
    import os

    from fine_tuning.tiny.training import fast_bfloat16

    return {
        "processor": _processor() or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "bfloat16": fast_bfloat16(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return ""
    lines = (line for line in file.read_text("utf-8").splitlines() if line.startswith("model name"))
    return next(lines, "").partition(":")[2].strip()


def _lines(answered: Sequence[Answered]) -> list[tuple[str, str, str]]:
    return [(row.item.question, row.answer, row.item.truth) for row in answered]
