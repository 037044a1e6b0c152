"""`--estimate`: whether a training fits a graphics card, in words, and with which batch it would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fine_tuning.training.precision import ComputeDevice
from fine_tuning.training.recipe import TrainingRecipe

if TYPE_CHECKING:
    from fine_tuning.training.memory_estimate import MemoryEstimate

GIB = 2**30
REFERENCE = ComputeDevice("cuda", (7, 5), memory=8 * GIB)
"""The card that the defaults are made for (RTX 2080), where this machine has none."""
RESERVED = GIB // 2
"""What CUDA itself and gaps between tensors take beside the tensors."""
SHORTEST = 256

Estimate = Callable[[TrainingRecipe], "MemoryEstimate"]


def memory_report(recipe: TrainingRecipe, device: ComputeDevice, estimate: Estimate) -> list[str]:
    """Lines for a person."""
    total = estimate(recipe)
    lines = [
        f"{recipe.model}, {_batch(recipe)}, on a card of {device.memory / GIB:.1f} GiB "
        f"computing in {device.dtype(recipe.dtype)}:",
        *(f"  {name:<22}{size / GIB:6.2f} GiB" for name, size in _rows(recipe, device, total)),
        f"  {'at most':<22}{total.peak / GIB:6.2f} GiB, and about {RESERVED / GIB:.1f} for CUDA itself",
    ]
    if fits(total, device):
        return [*lines, "It fits."]
    for smaller in _smaller(recipe):
        if fits(less := estimate(smaller), device):
            return [
                *lines,
                f"It does not fit. With {_flags(smaller)} it takes {less.peak / GIB:.2f} GiB and does.",
            ]
    return [*lines, "It does not fit, nor does a smaller batch. Take a lower --lora_r or a smaller --model."]


def fits(estimate: MemoryEstimate, device: ComputeDevice) -> bool:
    return estimate.peak + RESERVED <= device.memory


def _rows(recipe: TrainingRecipe, device: ComputeDevice, total: MemoryEstimate) -> Iterator[tuple[str, int]]:
    yield f"base ({recipe.quantization})" if recipe.quantization != "none" else "base", total.weights
    yield f"adapters, r = {recipe.lora.r}", total.adapters
    yield "gradients", total.gradients
    yield device.optimizer(recipe.optimizer), total.optimizer
    yield "forward and backward", total.step


def _smaller(recipe: TrainingRecipe) -> Iterator[TrainingRecipe]:
    """Half the batch in as many steps, down to one example; then half its length."""
    from fine_tuning.training.qlora_training import smaller_batch

    while recipe.batch_size > 1:
        recipe = smaller_batch(recipe)
        yield recipe
    while recipe.max_seq_length >= 2 * SHORTEST:
        recipe = recipe.model_copy(update={"max_seq_length": recipe.max_seq_length // 2})
        yield recipe


def _batch(recipe: TrainingRecipe) -> str:
    return f"batches of {recipe.batch_size} with up to {recipe.max_seq_length} tokens each"


def _flags(recipe: TrainingRecipe) -> str:
    return (
        f"--batch_size {recipe.batch_size} --gradient_accumulation_steps {recipe.gradient_accumulation_steps} "
        f"--max_seq_length {recipe.max_seq_length}"
    )
