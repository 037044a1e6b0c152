"""A LoRA adapter for a GGUF model, as llama.cpp reads it; made in a moment, of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFWriter

RANK = 4


def write_adapter(base: Path, target: Path, *, scale: float = 0.5, seed: int = 1, layer: int = 0) -> Path:
    """
    Args:
        scale: of the noise; 0: an adapter that changes nothing.
        layer: whose query weights it changes.
    """
    reader = GGUFReader(base)
    kind = reader.fields["general.architecture"].contents()
    name = f"blk.{layer}.attn_q.weight"
    (weight,) = [tensor for tensor in reader.tensors if tensor.name == name]
    width_in, width_out = (int(size) for size in weight.shape[:2])
    noise = np.random.default_rng(seed)
    writer = GGUFWriter(target, kind)
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(RANK))
    writer.add_tensor(f"{name}.lora_a", noise.normal(size=(RANK, width_in)).astype(np.float32) * scale)
    writer.add_tensor(f"{name}.lora_b", noise.normal(size=(width_out, RANK)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
