"""What a training does, as data: YAML files, flags over them, one model that validates both.

A base file holds the keys of `TrainingRecipe`, a LoRA file those of `LoraRecipe`. Every key's
description is its help text on the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from fine_tuning.errors import RecipeError


class LoraRecipe(BaseModel):
    """The adapter's shape."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    r: PositiveInt = Field(
        64, le=4096, description="Rank of the adapter's matrices: what it can hold, and its size."
    )
    alpha: PositiveInt | None = Field(
        None, le=65_536, description="Scale of the adapter; twice the rank if not given."
    )
    dropout: float = Field(0.05, ge=0, lt=1, description="Share of the adapter's inputs dropped in training.")
    target_modules: str | tuple[str, ...] = Field(
        "all-linear", description="Layers that get an adapter: names with commas, or all-linear."
    )

    @property
    def scale(self) -> int:
        return self.alpha or 2 * self.r


class TrainingRecipe(BaseModel):
    """One training, whole."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str = Field(
        "mistralai/Mistral-7B-Instruct-v0.3",
        description="Base model: a folder with a config.json, a GGUF file, or a name on the Hugging Face hub.",
    )
    data_path: Path | None = Field(None, description="Examples to learn: JSON or JSONL.")
    eval_data_path: Path | None = Field(None, description="Examples to measure the loss on, never learnt.")
    output_dir: Path | None = Field(None, description="Where the run goes; outputs/<run_id> if not given.")
    num_epochs: PositiveInt = Field(3, le=10_000, description="Times that every example is seen.")
    max_steps: PositiveInt | None = Field(
        None, le=10**9, description="Stop after this many steps, whatever the epochs."
    )
    batch_size: PositiveInt = Field(4, le=4096, description="Examples at once on one device.")
    gradient_accumulation_steps: PositiveInt = Field(4, le=65_536, description="Batches that make one step.")
    learning_rate: PositiveFloat = Field(2e-4, le=1, description="Highest learning rate.")
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = Field(
        "cosine", description="How the learning rate falls."
    )
    warmup_ratio: float = Field(0.03, ge=0, lt=1, description="Share of the steps in which the rate rises.")
    weight_decay: NonNegativeFloat = Field(
        0.0, le=10, description="Pull of the adapter's weights towards zero."
    )
    max_grad_norm: NonNegativeFloat = Field(
        1.0, le=1e6, description="Longer gradients are shortened to this length."
    )
    max_seq_length: PositiveInt = Field(
        2048, le=2**20, description="Longer examples are left out, and counted."
    )
    seed: int = Field(1, ge=0, lt=2**32, description="Same seed, data and machine: same adapter.")
    quantization: Literal["nf4", "none"] = Field(
        "nf4", description="How the base lies in memory: 4-bit NF4 (double-quantised), or as it is."
    )
    dtype: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="What is computed in; auto: the fastest that this device has (Turing: fp16)."
    )
    optimizer: Literal["auto", "paged_adamw_8bit", "adamw_torch"] = Field(
        "auto", description="auto: paged 8-bit AdamW on a GPU, AdamW elsewhere."
    )
    gradient_checkpointing: bool = Field(
        True, description="Compute activations twice instead of keeping them."
    )
    chat_template: Path | None = Field(
        None, description="Jinja file of the chat format; the model's own, or Mistral's first, if not given."
    )
    trust_remote_code: bool = Field(False, description="Run code that the base model brings along.")
    save_steps: PositiveInt = Field(50, le=10**9, description="Steps between checkpoints.")
    logging_steps: PositiveInt = Field(5, le=10**9, description="Steps between points of the loss curve.")
    threads: PositiveInt | None = Field(None, le=1024, description="CPU threads; torch decides if not given.")
    use_wandb: bool = Field(False, description="Also log to Weights & Biases (offline where it has no key).")
    lora: LoraRecipe = Field(default_factory=lambda: LoraRecipe(), description="See the LoRA file.")


def load_recipe(
    base: Path | None = None, lora: Path | None = None, flags: Mapping[str, Any] | None = None
) -> TrainingRecipe:
    """The recipe of a base file, a LoRA file, and flags over both.

    Args:
        flags: keys of TrainingRecipe, and those of LoraRecipe as `lora_<key>`; None stands for not given.

    Raises:
        RecipeError: a file cannot be read, or a key or value is not one of the recipe's.
    """
    values = _yaml(base)
    shape = values.pop("lora", None) or {}
    if not isinstance(shape, dict):
        raise RecipeError(f"'lora' in {base} must hold `key: value` lines (got {shape!r}).")
    shape = shape | _yaml(lora)
    for name, value in (flags or {}).items():
        if value is None:
            continue
        if name.startswith("lora_"):
            shape[name.removeprefix("lora_")] = value
        else:
            values[name] = value
    try:
        return TrainingRecipe.model_validate({**values, "lora": shape})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        files = ", ".join(str(path) for path in (base, lora) if path) or "the flags"
        if first["type"] == "extra_forbidden":
            raise RecipeError(f"{where!r} in {files}: there is no such key.{_meant(where)}") from error
        raise RecipeError(f"{where!r} in {files}: {first['msg']} (got {first['input']!r}).") from error


def _meant(key: str) -> str:
    known = [*TrainingRecipe.model_fields, *(f"lora.{name}" for name in LoraRecipe.model_fields)]
    near = get_close_matches(key, known, n=1) or get_close_matches(key.replace("_", ".", 1), known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _yaml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"The recipe {str(path)!r} cannot be read: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise RecipeError(f"The recipe {str(path)!r} must hold `key: value` lines.")
    return values
