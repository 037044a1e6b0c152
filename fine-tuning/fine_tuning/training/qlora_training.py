"""One QLoRA training from recipe to adapter: resumable, and smaller batches when memory runs out."""

from __future__ import annotations

import gc
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_data.records import Record

from fine_tuning.errors import BaseModelError, Interrupted, TrainingRefused
from fine_tuning.quiet_libraries import silenced, without_deprecations
from fine_tuning.training.base_model import load_base, load_tokenizer, resolved
from fine_tuning.training.dialogues import digest, read_dialogues, short_enough
from fine_tuning.training.loss_curve import LossPoint
from fine_tuning.training.pausing import supervised
from fine_tuning.training.precision import ComputeDevice, this_device
from fine_tuning.training.recipe import TrainingRecipe
from fine_tuning.training.run_folder import RunFolder

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Job:
    """What stays the same when the batch is halved."""

    source: str
    tokenizer: Any
    train: Sequence[Record]
    held_out: Sequence[Record]
    run: RunFolder
    device: ComputeDevice
    data_sha256: str


def train(
    recipe: TrainingRecipe,
    folder: Path,
    *,
    resume: bool = False,
    report: Callable[[Any], None] = lambda _: None,
    say: Say = lambda _: None,
) -> Path:
    """Train in `folder` and return it; the adapter is in it, whole, or not at all.

    Raises:
        LearningError: what is wrong, and what to do. After `Interrupted`, `resume=True` goes on
            with the same batches.
    """
    if recipe.data_path is None:
        raise TrainingRefused("There is nothing to learn from: give --data_path.")
    _prepare(recipe, say)
    with silenced():
        job = _job(recipe, recipe.data_path, folder, say)
        job.run.claim(recipe, job.data_sha256, resume=resume)
        while True:
            smaller = _attempt(recipe, job, report, say)
            if smaller is None:
                return folder
            recipe = smaller
            gc.collect()


def smaller_batch(recipe: TrainingRecipe) -> TrainingRecipe:
    """The recipe with half the batch, in as many steps.

    Raises:
        TrainingRefused: a batch is one example already.
    """
    if recipe.batch_size == 1:
        raise TrainingRefused(
            f"Not even one example of {recipe.max_seq_length} tokens fits. Lower --max_seq_length or --lora_r, "
            "use --quantization nf4 and gradient checkpointing, or a smaller model."
        )
    total = recipe.batch_size * recipe.gradient_accumulation_steps
    batch = next(size for size in range(recipe.batch_size // 2, 0, -1) if total % size == 0)
    sizes = {"batch_size": batch, "gradient_accumulation_steps": total // batch}
    return recipe.model_copy(update=sizes)


def _job(recipe: TrainingRecipe, data_path: Path, folder: Path, say: Say) -> _Job:
    dialogues = read_dialogues(data_path)
    held_out = read_dialogues(recipe.eval_data_path) if recipe.eval_data_path else []
    data = digest([*dialogues, *held_out])
    source = resolved(recipe.model)
    tokenizer = load_tokenizer(source, recipe)

    def count(dialogue: Record) -> int:
        text = tokenizer.apply_chat_template([*dialogue.prompt, *dialogue.completion], tokenize=False)
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    train_on, left_out = short_enough(dialogues, recipe.max_seq_length, count)
    if left_out:
        say(left_out)
    return _Job(source, tokenizer, train_on, held_out, RunFolder(folder), this_device(), data)


def _attempt(
    recipe: TrainingRecipe, job: _Job, report: Callable[[Any], None], say: Say
) -> TrainingRecipe | None:
    """Train to the end (None), or the recipe to try next because memory ran out."""
    from fine_tuning.training import qlora_trainer as parts

    stop = parts.StopAtStep()
    checkpoint = job.run.last_checkpoint()
    if checkpoint:
        say(f"going on from {checkpoint.name}")
    try:
        _seed(recipe.seed)
        model = load_base(job.source, recipe, job.device)
        _check_vocabulary(model, job.tokenizer)
        trainer = parts.build_trainer(
            recipe,
            model,
            job.tokenizer,
            job.run,
            job.train,
            job.held_out,
            job.device,
            [parts.ProgressTeller(report), stop, *supervised(unless=lambda: stop.asked)],
        )
        with stop.listening(), without_deprecations():
            result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        smaller = smaller_batch(recipe)
        say(
            f"memory ran out with batches of {recipe.batch_size} ({_first_line(error)}); trying batches of "
            f"{smaller.batch_size}, {smaller.gradient_accumulation_steps} to a step"
        )
        return smaller
    except KeyboardInterrupt:
        raise Interrupted(_how_to_resume(job.run)) from None
    if stop.asked and trainer.state.global_step < trainer.state.max_steps:
        raise Interrupted(_how_to_resume(job.run))
    _finish(recipe, job, trainer, result, parts.peak_memory())
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host had no memory left; torch says it in several ways."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return "DefaultCPUAllocator" in text or "out of memory" in text


def curve_of(history: Sequence[dict[str, Any]]) -> list[LossPoint]:
    """The points of the trainer's log; a held-out loss joins the training loss before it."""
    points: list[LossPoint] = []
    for row in history:
        if "loss" in row:
            points.append(LossPoint(int(row["step"]), float(row["loss"])))
        elif "eval_loss" in row and points:
            points[-1] = LossPoint(points[-1].step, points[-1].loss, float(row["eval_loss"]))
    return points


def _finish(recipe: TrainingRecipe, job: _Job, trainer: Any, result: Any, memory: int) -> None:
    if not trainer.is_world_process_zero():
        return
    adapter = job.run.path / "adapter.part"
    try:
        trainer.save_model(str(adapter))
        curve = curve_of(trainer.state.log_history)
        measured = result.metrics
        metrics = {
            "steps": trainer.state.global_step,
            "epochs": trainer.state.epoch,
            "examples": len(job.train),
            "tokens": trainer.state.num_input_tokens_seen,
            "train_loss": measured.get("train_loss"),
            "last_loss": curve[-1].loss if curve else None,
            "eval_loss": next((p.validation_loss for p in reversed(curve) if p.validation_loss), None),
            "seconds": measured.get("train_runtime"),
            "peak_memory_bytes": memory,
            "batch_size": recipe.batch_size,
            "device": job.device.kind,
            "dtype": job.device.dtype(recipe.dtype),
        }
        job.run.finish(recipe, job.data_sha256, adapter, metrics, curve)
    except OSError as error:
        raise Interrupted(
            f"The adapter could not be written to {str(job.run.path)!r}: {error}. Make room, then --resume."
        ) from error


def _check_vocabulary(model: Any, tokenizer: Any) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise BaseModelError(
            f"The tokenizer has {len(tokenizer)} tokens, the model {rows}: they do not belong together."
        )


def _prepare(recipe: TrainingRecipe, say: Say) -> None:
    import torch

    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    if recipe.use_wandb:
        _prepare_wandb(say)


def _prepare_wandb(say: Say) -> None:
    from importlib.util import find_spec

    if find_spec("wandb") is None:
        raise TrainingRefused(
            f"--use_wandb needs wandb. Run: {shlex.quote(sys.executable)} -m pip install wandb"
        )
    if not os.environ.get("WANDB_API_KEY") and not os.environ.get("WANDB_MODE"):
        os.environ["WANDB_MODE"] = "offline"
        say("WANDB_API_KEY is not set: logging offline, `wandb sync` sends it later")


def _seed(seed: int) -> None:
    from transformers import set_seed

    set_seed(seed)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _how_to_resume(run: RunFolder) -> str:
    checkpoint = run.last_checkpoint()
    if checkpoint is None:
        return "Stopped before the first checkpoint; begin again in another folder, or with --resume."
    return (
        f"Stopped; {checkpoint.name} is kept. The same command with --resume goes on with the same batches."
    )
