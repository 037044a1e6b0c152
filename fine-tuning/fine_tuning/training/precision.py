"""What a device computes in, and with which optimiser: decisions, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dtype = Literal["bf16", "fp16", "fp32"]
TORCH_NAMES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
AMPERE = (8, 0)
"""The first CUDA capability that multiplies bfloat16 in hardware."""


@dataclass(frozen=True, slots=True)
class ComputeDevice:
    """Where a training runs.

    Args:
        kind: cuda, mps or cpu.
        capability: of CUDA.
        fast_bf16: a processor that multiplies bfloat16 in hardware.
        memory: bytes in all; 0 where it is not known.
    """

    kind: str
    capability: tuple[int, int] = (0, 0)
    fast_bf16: bool = False
    memory: int = 0

    def dtype(self, asked: str = "auto") -> Dtype:
        """What to compute in; Turing (7.5) emulates bfloat16 and so gets float16."""
        if asked != "auto":
            return asked  # type: ignore[return-value]
        if self.kind == "cuda":
            return "bf16" if self.capability >= AMPERE else "fp16"
        return "bf16" if self.kind == "cpu" and self.fast_bf16 else "fp32"

    def optimizer(self, asked: str = "auto") -> str:
        """The name of transformers' `optim`; paging moves optimiser states to the host when a GPU is full."""
        if asked != "auto":
            return asked
        return "paged_adamw_8bit" if self.kind == "cuda" else "adamw_torch"


def this_device() -> ComputeDevice:
    """What torch finds here."""
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        return ComputeDevice("cuda", torch.cuda.get_device_capability(0), memory=memory)
    if torch.backends.mps.is_available():
        return ComputeDevice("mps")
    return ComputeDevice("cpu", fast_bf16=bool(torch.cpu._is_avx512_bf16_supported()))
