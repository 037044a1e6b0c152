"""The memory a training takes at most, known before it begins: one step on tensors that have a shape and no content.

The model is built from its configuration alone, with torch's fake tensors in place of weights, and runs
forward and backward as the trainer would run it; the bytes that live at once are counted. Not counted: a
CUDA context (some 0.5 GB), the allocator's fragments, and paging, which moves optimiser states to the host.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import peft
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM

from fine_tuning.errors import BaseModelError
from fine_tuning.quiet_libraries import without_deprecations
from fine_tuning.training.base_model import explained
from fine_tuning.training.precision import TORCH_NAMES, ComputeDevice
from fine_tuning.training.qlora_trainer import lora_config, loss_of_answers
from fine_tuning.training.recipe import TrainingRecipe

BLOCK, NESTED_BLOCK = 64, 256
"""Weights that share a scale in NF4, and scales that share a scale of theirs (Dettmers et al., 2023, section 3)."""
TABLES = 16 * 4 + 256 * 4
"""Bytes of the two tables of values that bitsandbytes keeps with every layer."""
SMALLEST_8BIT = 4096
"""Parameters of a matrix from which bitsandbytes keeps its optimiser states in 8 bits."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes on one device.

    Args:
        weights: of the frozen base, with the constants of its quantisation.
        adapters: in float32.
        gradients: of the adapters.
        optimizer: two states a parameter.
        step: what forward and backward need beside these at most: activations, logits, dequantised layers.
    """

    weights: int
    adapters: int
    gradients: int
    optimizer: int
    step: int

    @property
    def peak(self) -> int:
        return self.weights + self.adapters + self.gradients + self.optimizer + self.step


def estimate_memory(
    recipe: TrainingRecipe, source: str, device: ComputeDevice, length: int, answer: int | None = None
) -> MemoryEstimate:
    """The most that a training by this recipe holds at once.

    Args:
        source: a folder, of which only config.json is read, or a name on the hub.
        length: tokens of the longest example.
        answer: tokens of its answer; None: all, as when nothing is known of the examples.

    Raises:
        BaseModelError: there is no configuration, or it is of an unknown kind.
    """
    dtype = getattr(torch, TORCH_NAMES[device.dtype(recipe.dtype)])
    model = _outlined(source, recipe, dtype)
    quantised = _four_bit(model) if recipe.quantization == "nf4" else 0
    with without_deprecations(), torch.device("meta"):
        model = peft.get_peft_model(model, lora_config(recipe))
        if recipe.gradient_checkpointing:
            options = {"use_reentrant": False, "preserve_rng_state": False}
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
            model.enable_input_require_grads()
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adapters = sum(_bytes(parameter) for parameter in learnt)
    whole = sum(_bytes(each) for each in _frozen(model))
    with FakeTensorMode():
        _give_fake_content(model)
        step = _peak_of_step(model.train(), recipe.batch_size, length, answer or length, dtype)
    optimizer = sum(_states(parameter, device.optimizer(recipe.optimizer)) for parameter in learnt)
    return MemoryEstimate(whole + quantised, adapters, adapters, optimizer, step)


class _FourBitLinear(torch.nn.Linear):  # type: ignore[misc]
    """A layer as bitsandbytes computes it: unpacked for one product, and once more for its gradient."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return _UnpackedProduct.apply(input.to(self.weight.dtype), self.weight).to(input.dtype).clone()


class _UnpackedProduct(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(context: Any, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        context.weight = weight
        return torch.nn.functional.linear(rows, weight.clone())

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] @ context.weight.clone(), None


class _LiveBytes(TorchDispatchMode):  # type: ignore[misc]
    """Counts the bytes of all tensors made inside that are still referred to; `peak` is the most so far."""

    def __init__(self, known: Iterator[torch.Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known = weakref.WeakSet(tensor.untyped_storage() for tensor in known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.live -= size


def _outlined(source: str, recipe: TrainingRecipe, dtype: torch.dtype) -> Any:
    """The model without weights."""
    trust = recipe.trust_remote_code
    try:
        config: Any = AutoConfig.from_pretrained(source, trust_remote_code=trust)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation="sdpa", trust_remote_code=trust
            )
    except (OSError, ValueError, KeyError) as error:
        raise BaseModelError(explained(source, error)) from error


def _four_bit(model: Any) -> int:
    """Make every layer but the output matrix a 4-bit one; the bytes that these will take."""
    layers = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer is not model.get_output_embeddings()
    ]
    size = 0
    for name, layer in layers:
        with torch.device("meta"):
            four_bit = _FourBitLinear(layer.in_features, layer.out_features, layer.bias is not None)
        four_bit.to(layer.weight.dtype).requires_grad_(False)
        model.set_submodule(name, four_bit)
        scales = -(-layer.weight.numel() // BLOCK)
        size += layer.weight.numel() // 2 + scales + 4 * -(-scales // NESTED_BLOCK) + 4 + TABLES
    return size


def _frozen(model: Any) -> Iterator[torch.Tensor]:
    """Tensors that lie in memory as they are: 4-bit layers and adapters are counted elsewhere."""
    packed = {id(layer.weight) for layer in model.modules() if isinstance(layer, _FourBitLinear)}
    yield from model.buffers()
    yield from (each for each in model.parameters() if not each.requires_grad and id(each) not in packed)


def _give_fake_content(model: Any) -> None:
    """Replace meta tensors by fake ones on the CPU, which autocast and attention treat as real."""
    made: dict[int, Any] = {}
    for module in model.modules():
        for name, old in module._parameters.items():
            if old is not None:
                fake = torch.nn.Parameter(torch.empty(old.shape, dtype=old.dtype), old.requires_grad)
                module._parameters[name] = made.setdefault(id(old), fake)
        for name, old in module._buffers.items():
            if old is not None:
                module._buffers[name] = torch.empty(old.shape, dtype=old.dtype)


def _peak_of_step(model: Any, rows: int, length: int, answer: int, dtype: torch.dtype) -> int:
    """Bytes beside weights, adapters and gradients."""
    tokens = torch.zeros(rows, length, dtype=torch.long)
    kept = torch.zeros(answer, dtype=torch.long)
    labels = torch.zeros(rows, answer, dtype=torch.long)
    plain = dtype == torch.float32
    # With gradients already there, as in all batches of a step but the first.
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)
    held = (each for tensor in _all_tensors(model) for each in (tensor, tensor.grad) if each is not None)
    with _LiveBytes(held) as counted:
        computing: AbstractContextManager[Any] = nullcontext() if plain else torch.autocast("cpu", dtype)
        with computing:
            loss = loss_of_answers(model, tokens, torch.ones_like(tokens), kept, labels)
        loss.backward()
    return int(counted.peak)


def _all_tensors(model: Any) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _states(parameter: torch.Tensor, optimizer: str) -> int:
    count = int(parameter.numel())
    if optimizer == "paged_adamw_8bit" and count >= SMALLEST_8BIT:
        return 2 * (count + 4 * -(-count // NESTED_BLOCK))
    return 2 * 4 * count


def _bytes(tensor: torch.Tensor) -> int:
    return int(tensor.nbytes)
