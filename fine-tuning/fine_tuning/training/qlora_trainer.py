"""TRL's trainer, with what a training at home needs: a fixed order of batches, whole checkpoints, a way to stop."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import peft
import torch
from datasets import Dataset
from training_data.records import Record
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from fine_tuning.errors import Interrupted, TrainingRefused
from fine_tuning.quiet_libraries import without_deprecations
from fine_tuning.training.batch_order import BatchOrder
from fine_tuning.training.dialogues import columns
from fine_tuning.training.precision import ComputeDevice
from fine_tuning.training.recipe import TrainingRecipe
from fine_tuning.training.run_folder import COMPLETE, RunFolder


@dataclass(frozen=True, slots=True)
class Progress:
    """A point of a running training.

    Args:
        loss: of the last logged steps; None before the first.
        tokens_per_s: since this process began to train.
        memory: bytes, the most so far: of the GPU, else of this process.
        left_s: seconds to go at this speed.
    """

    step: int
    steps: int
    loss: float | None
    tokens_per_s: float
    memory: int
    left_s: float


Report = Callable[[Progress], None]


class QloraTrainer(SFTTrainer):  # type: ignore[misc]  # untyped library
    """SFTTrainer with adapters in float32, batches by `BatchOrder`, and checkpoints that are whole or absent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # TRL stores the adapters of a quantised model in bfloat16, which no gradient scaler of float16 takes.
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean loss of the answers' tokens.

        On a CPU, TRL projects every position onto the vocabulary, in float32 parts: four times the work
        that the answers need. There the model's own head is asked for the answers' positions only.
        """
        if self.args.device.type != "cpu" or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"][:, 1:]
        kept = (labels != -100).any(dim=0).nonzero().flatten()
        targets = labels[:, kept]
        total = loss_of_answers(model, inputs["input_ids"], inputs["attention_mask"], kept, targets)
        count = (targets != -100).sum() if num_items_in_batch is None else num_items_in_batch
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            total = total * self.accelerator.num_processes
        return total / torch.as_tensor(count).clamp(min=1)

    def _get_train_sampler(self, train_dataset: Any = None) -> BatchOrder:
        rows = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(ids) for ids in rows["input_ids"]]
        step_size = (
            self.args.per_device_train_batch_size
            * self.args.gradient_accumulation_steps
            * max(1, self.args.world_size)
        )
        return BatchOrder(lengths, step_size, self.args.seed)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                (folder / COMPLETE).touch()
        except Exception as error:  # torch, safetensors and the file system each raise their own
            shutil.rmtree(folder, ignore_errors=True)
            raise Interrupted(
                f"The checkpoint of step {self.state.global_step} could not be written: {error}. "
                "Make room, then go on with --resume from the one before."
            ) from error


def loss_of_answers(model: Any, tokens: Any, mask: Any, kept: Any, targets: Any) -> Any:
    """The summed loss of the tokens that follow the positions `kept` [positions].

    Args:
        tokens, mask: [rows, length].
        targets: [rows, positions]; -100 is not learnt.
    """
    logits = model(input_ids=tokens, attention_mask=mask, logits_to_keep=kept, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum")


class ProgressTeller(TrainerCallback):  # type: ignore[misc]
    """Tells `report` after every step."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._loss: float | None = None
        self._began = (0.0, 0, 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began = (time.monotonic(), state.global_step, state.num_input_tokens_seen)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self._loss = (logs or {}).get("loss", self._loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        began, first_step, first_token = self._began
        seconds = max(time.monotonic() - began, 1e-6)
        done = max(state.global_step - first_step, 1)
        speed = (state.num_input_tokens_seen - first_token) / seconds
        left = seconds / done * (state.max_steps - state.global_step)
        self._report(Progress(state.global_step, state.max_steps, self._loss, speed, peak_memory(), left))


class StopAtStep(TrainerCallback):  # type: ignore[misc]
    """Ends the training after the step during which SIGINT or SIGTERM came, with a checkpoint."""

    def __init__(self) -> None:
        self.asked = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.asked:
            control.should_save = control.should_training_stop = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While inside, the first signal asks and the second one ends at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        numbers = (signal.SIGINT, signal.SIGTERM)
        try:
            before = [(number, signal.signal(number, ask)) for number in numbers]
        except ValueError:  # not the main thread: whoever runs it stops it
            yield
            return
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)


def build_trainer(
    recipe: TrainingRecipe,
    model: Any,
    tokenizer: Any,
    run: RunFolder,
    train: Sequence[Record],
    held_out: Sequence[Record],
    device: ComputeDevice,
    callbacks: Sequence[TrainerCallback],
) -> QloraTrainer:
    """The trainer of this recipe.

    Raises:
        TrainingRefused: the adapter does not fit the model.
    """
    dtype = device.dtype(recipe.dtype)
    config = SFTConfig(
        output_dir=str(run.checkpoints),
        num_train_epochs=recipe.num_epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.lr_scheduler,
        warmup_steps=recipe.warmup_ratio,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        max_length=recipe.max_seq_length,
        seed=recipe.seed,
        bf16=dtype == "bf16",
        fp16=dtype == "fp16",
        use_cpu=device.kind == "cpu",
        optim=device.optimizer(recipe.optimizer),
        activation_checkpointing=recipe.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if recipe.gradient_checkpointing else None,
        packing=False,
        completion_only_loss=True,
        eval_strategy="epoch" if held_out else "no",
        save_strategy="steps",
        save_steps=recipe.save_steps,
        save_total_limit=2,
        logging_steps=recipe.logging_steps,
        include_num_input_tokens_seen="all",
        report_to=["wandb"] if recipe.use_wandb else [],
        disable_tqdm=True,
        dataloader_pin_memory=device.kind == "cuda",
    )
    with without_deprecations():
        try:
            trainer = QloraTrainer(
                model=model,
                args=config,
                train_dataset=_columns(train),
                eval_dataset=_columns(held_out) if held_out else None,
                processing_class=tokenizer,
                peft_config=lora_config(recipe),
                callbacks=list(callbacks),
            )
        except ValueError as error:
            raise TrainingRefused(f"The adapter cannot be attached to {recipe.model!r}: {error}") from error
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return trainer


def lora_config(recipe: TrainingRecipe) -> Any:
    """peft's configuration of the recipe's adapter."""
    shape = recipe.lora
    named = shape.target_modules
    if isinstance(named, str) and named != "all-linear":
        named = tuple(name.strip() for name in named.split(",") if name.strip())
    return peft.LoraConfig(
        r=shape.r,
        lora_alpha=shape.scale,
        lora_dropout=shape.dropout,
        target_modules=named if isinstance(named, str) else list(named),
        task_type="CAUSAL_LM",
    )


def peak_memory() -> int:
    """Bytes: the most a GPU held, else what this process holds at its most."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    import psutil

    return int(psutil.Process().memory_info().rss)


def _columns(dialogues: Sequence[Record]) -> Dataset:
    return Dataset.from_list([columns(dialogue) for dialogue in dialogues])
