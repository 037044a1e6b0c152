"""What the engine process is told to load, and what it says about itself afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

DEFAULT_CONTEXT = 8192
"""Window when the settings name none and the model could do more: memory, not the model, is the limit."""

KV_SHARE = 8
"""By default the KV cache takes at most this fraction (1/8) of the machine's memory."""

KV_WINDOWS = 2
"""By default the KV cache has room for this many full windows, if memory allows."""

FOREVER = 1 << 60
IDLE_STEPS_CPU = 1500
"""Decoding steps after which a finished conversation nobody has gone on with is dropped, without a GPU.

Without flash attention each cell costs time in every step, whoever it belongs to: measured on one AVX2 core about
2.5 microseconds for a 100M and 8 for a 1.1B model. Computing a token again costs 2.4 and 25 milliseconds. After 1,000
to 3,000 steps keeping it has cost as much as computing it again would: the moment at which to give up."""


SAMPLING_KEYS = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}
"""Keys of the GGUF specification to fields of GenerationConfig."""


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """Everything that decides how the engine process loads a model. JSON-able.

    Args:
        model: path of the GGUF file.
        adapter: path of a LoRA adapter in GGUF, or None.
        context_length: tokens of prompt and answer; None: the model's own, up to DEFAULT_CONTEXT.
        gpu_layers: layers on the GPU; None: all when the build can, else none.
        device: "auto" or "cpu" (never the GPU), or the kind of GPU that is expected.
        threads: None: one per physical core.
        idle_steps: decoding steps for which unused conversations stay cached; None: IDLE_STEPS_CPU, or for good
            with a GPU.
        state_folder: where the pinned prefix is saved; None: nowhere.
        embeddings: the model makes vectors and nothing else; sequences, cells and prefix do not matter.
    """

    model: str
    adapter: str | None = None
    context_length: int | None = None
    gpu_layers: int | None = None
    device: str = "auto"
    threads: int | None = None
    max_sequences: int = 8
    max_queue: int = 64
    prefill_chunk: int = 256
    kv_tokens: int | None = None
    idle_steps: int | None = None
    state_folder: str | None = None
    embeddings: bool = False

    def wire(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded. JSON-able."""

    context_length: int
    cells: int
    description: str
    template: str | None
    tool_template: str | None
    bos: str
    eos: str
    control: list[str]
    adds_bos: bool
    quantization: str | None
    device: str
    device_reason: str
    infill: list[str] = field(default_factory=list)
    sampling: dict[str, float] = field(default_factory=dict)
    """What the file advises, in the names of GenerationConfig."""
    details: dict[str, Any] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        return asdict(self)


def advised_sampling(metadata: Callable[[str], str | None]) -> dict[str, float]:
    """Sampling that a GGUF file advises (its `general.sampling.*` keys); what is no number is left out."""
    advised = {}
    for key, field_name in SAMPLING_KEYS.items():
        text = metadata(f"general.sampling.{key}")
        if text is not None:
            with suppress(ValueError):
                advised[field_name] = float(text)
    return advised


def choose_threads(wanted: int | None) -> int:
    """Physical cores, but no more than this process may use: hyper-threads slow decoding down."""
    if wanted is not None:
        return wanted
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


def choose_gpu_layers(wanted: int | None, device: str, gpu_build: bool) -> tuple[int, str]:
    """Layers to put on the GPU (-1 means all), and why."""
    if device == "cpu":
        return 0, "model.device is cpu"
    if not gpu_build:
        asked = f"{device} was asked for, but " if device != "auto" or wanted else ""
        return 0, f"{asked}this llama.cpp build has no GPU support"
    if wanted is None:
        return -1, "this llama.cpp build supports the GPU: all layers are offloaded"
    return wanted, f"engine.n_gpu_layers is {wanted}"


def choose_context(wanted: int | None, trained: int) -> int:
    """The window: as wanted, but not beyond what the model was trained for."""
    if wanted is None:
        return min(trained, DEFAULT_CONTEXT) if trained > 0 else DEFAULT_CONTEXT
    return min(wanted, trained) if trained > 0 else wanted


def choose_idle_steps(wanted: int | None, gpu_layers: int) -> int:
    """For how many steps a finished conversation stays cached."""
    if wanted is not None:
        return wanted
    return FOREVER if gpu_layers else IDLE_STEPS_CPU


def choose_cells(wanted: int | None, window: int, max_sequences: int, cell_bytes: int) -> int:
    """KV cells: as wanted, but at least one window; by default several, bounded by memory."""
    if wanted is not None:
        return max(wanted, window)
    from orchestrator_core.models.memory import main_memory

    affordable = main_memory().total // KV_SHARE // max(1, cell_bytes)
    return max(window, min(window * min(max_sequences, KV_WINDOWS), affordable))
