"""Mistral-shaped GGUF files with random weights: real work for the engine, meaningless text.

The rows of the output matrix that belong to control tokens are zero, so a greedy answer
does not end before its token limit.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf_vocabulary import (
    CONTROL_TOKENS,
    MISTRAL_TEMPLATE,
    SentencePieceVocabulary,
    Vocabulary,
    merged_vocabulary,
)

DIRECT = {
    "F32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "F16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "Q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "Q4_0": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}
"""What the gguf package quantises by itself; the rest goes through llama.cpp's quantiser."""

INDIRECT = {
    "Q4_K_M": gguf.LlamaFileType.MOSTLY_Q4_K_M,
    "Q5_K_M": gguf.LlamaFileType.MOSTLY_Q5_K_M,
    "Q6_K": gguf.LlamaFileType.MOSTLY_Q6_K,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of a llama/Mistral transformer; `width` must divide by `heads`."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int
    context: int

    @property
    def parameters(self) -> int:
        kv = self.width // self.heads * self.kv_heads
        layer = 2 * self.width * (self.width + kv) + 3 * self.width * self.ffn + 2 * self.width
        return self.layers * layer + 2 * self.vocab * self.width + self.width


PRESETS = {
    "tiny": Shape(layers=2, width=64, heads=4, kv_heads=2, ffn=128, vocab=512, context=2048),
    "5M": Shape(layers=4, width=256, heads=8, kv_heads=4, ffn=768, vocab=2048, context=8192),
    "100M": Shape(layers=12, width=768, heads=12, kv_heads=4, ffn=2048, vocab=16000, context=8192),
    "1.1B": Shape(layers=22, width=2048, heads=32, kv_heads=4, ffn=5632, vocab=32000, context=8192),
}
"""By parameter count; 1.1B has TinyLlama's shape, so its speed compares with published figures."""


def random_model(
    path: Path | str,
    *,
    layers: int,
    width: int,
    heads: int,
    kv_heads: int,
    ffn: int,
    vocab: int,
    context: int,
    quant: str = "Q8_0",
    seed: int = 0,
    template: str | None = MISTRAL_TEMPLATE,
    name: str = "random",
    vocabulary: SentencePieceVocabulary | None = None,
) -> Path:
    """Write a GGUF with random weights, tensor by tensor (memory: one tensor).

    Args:
        quant: one of `DIRECT` or `INDIRECT`.
        template: Jinja chat template for the metadata, or None.
        vocabulary: instead of one of our own with `vocab` tokens.

    Raises:
        ValueError: unknown quantisation, or dimensions that do not divide.
    """
    path = Path(path)
    words = vocabulary or merged_vocabulary(vocab)
    shape = Shape(layers, width, heads, kv_heads, ffn, len(words), context)
    if width % heads or heads % kv_heads:
        raise ValueError(f"width {width} must divide by heads {heads}, and heads by kv_heads {kv_heads}.")
    if quant in DIRECT:
        _write(path, shape, quant, seed, template, name, words)
    elif quant in INDIRECT:
        intermediate = path.with_suffix(".q8.tmp")
        _write(intermediate, shape, "Q8_0", seed, template, name, words)
        try:
            requantise(intermediate, path, quant)
        finally:
            intermediate.unlink()
    else:
        raise ValueError(f"Unknown quantisation {quant!r}; known: {', '.join([*DIRECT, *INDIRECT])}.")
    return path


def preset_model(
    path: Path | str,
    size: str,
    *,
    quant: str = "Q8_0",
    seed: int = 0,
    vocabulary: SentencePieceVocabulary | None = None,
) -> Path:
    """`random_model` with the dimensions of a preset: 'tiny', '5M', '100M' or '1.1B'."""
    if size not in PRESETS:
        raise ValueError(f"Unknown size {size!r}; known: {', '.join(PRESETS)}.")
    shape = PRESETS[size]
    return random_model(
        path,
        layers=shape.layers,
        width=shape.width,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        ffn=shape.ffn,
        vocab=shape.vocab,
        context=shape.context,
        quant=quant,
        seed=seed,
        name=f"random-{size}",
        vocabulary=vocabulary,
    )


def requantise(source: Path, target: Path, quant: str) -> None:
    """Quantise with llama.cpp itself (K-quants exist only there)."""
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = int(INDIRECT[quant])
    params.nthread = min(4, os.cpu_count() or 1)
    params.allow_requantize = True
    status = llama_cpp.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(params))
    if status != 0:
        raise RuntimeError(f"llama.cpp could not quantise to {quant} (status {status}).")


def lora_adapter(
    path: Path | str, *, layers: int, width: int, heads: int, rank: int = 4, scale: float = 1.0, seed: int = 1
) -> Path:
    """Write a GGUF LoRA adapter with random matrices on the query projections of such a model."""
    path = Path(path)
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank) * scale)
    for layer in range(layers):
        name = f"blk.{layer}.attn_q.weight"
        down = random.standard_normal((rank, width), dtype=np.float32) / np.sqrt(width)
        up = random.standard_normal((width, rank), dtype=np.float32)
        writer.add_tensor(f"{name}.lora_a", down.astype(np.float32))
        writer.add_tensor(f"{name}.lora_b", up)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write(
    path: Path,
    shape: Shape,
    quant: str,
    seed: int,
    template: str | None,
    name: str,
    vocabulary: Vocabulary | SentencePieceVocabulary,
) -> None:
    kind, file_type = DIRECT[quant]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(name)
    writer.add_file_type(file_type)
    writer.add_vocab_size(shape.vocab)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(10000.0)
    vocabulary.write(writer, template=template, add_bos=True)
    tensors = list(_tensors(shape))
    for tensor, rows, columns in tensors:
        chosen = _kind(tensor, columns, kind)
        size = (rows, columns) if rows else (columns,)
        info = gguf.quant_shape_to_byte_shape(size, chosen) if _quantised(chosen) else size
        count = int(np.prod(info)) * (1 if _quantised(chosen) else _ITEM[chosen])
        writer.add_tensor_info(tensor, info, _dtype(chosen), count, chosen if _quantised(chosen) else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = np.random.default_rng(seed)
    for tensor, rows, columns in tensors:
        values = _values(tensor, rows, columns, random)
        writer.write_tensor_data(gguf.quantize(values, _kind(tensor, columns, kind)))
    writer.close()


_ITEM = {gguf.GGMLQuantizationType.F32: 4, gguf.GGMLQuantizationType.F16: 2}


def _quantised(kind: gguf.GGMLQuantizationType) -> bool:
    return kind not in _ITEM


def _dtype(kind: gguf.GGMLQuantizationType) -> np.dtype:
    if kind == gguf.GGMLQuantizationType.F32:
        return np.dtype(np.float32)
    return np.dtype(np.float16) if kind == gguf.GGMLQuantizationType.F16 else np.dtype(np.uint8)


def _kind(tensor: str, columns: int, wanted: gguf.GGMLQuantizationType) -> gguf.GGMLQuantizationType:
    """Norms stay in F32, and rows that do not fill whole quantisation blocks in F16."""
    if "norm" in tensor:
        return gguf.GGMLQuantizationType.F32
    block = gguf.GGML_QUANT_SIZES[wanted][0]
    return wanted if columns % block == 0 else gguf.GGMLQuantizationType.F16


def _tensors(shape: Shape) -> Iterator[tuple[str, int, int]]:
    """Name, rows and columns of every tensor; rows 0 means a vector."""
    kv = shape.width // shape.heads * shape.kv_heads
    yield "token_embd.weight", shape.vocab, shape.width
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", 0, shape.width
        yield block + "attn_q.weight", shape.width, shape.width
        yield block + "attn_k.weight", kv, shape.width
        yield block + "attn_v.weight", kv, shape.width
        yield block + "attn_output.weight", shape.width, shape.width
        yield block + "ffn_norm.weight", 0, shape.width
        yield block + "ffn_gate.weight", shape.ffn, shape.width
        yield block + "ffn_up.weight", shape.ffn, shape.width
        yield block + "ffn_down.weight", shape.width, shape.ffn
    yield "output_norm.weight", 0, shape.width
    yield "output.weight", shape.vocab, shape.width


def _values(tensor: str, rows: int, columns: int, random: np.random.Generator) -> np.ndarray:
    if rows == 0:
        return np.ones(columns, dtype=np.float32)
    values = random.standard_normal((rows, columns), dtype=np.float32)
    if tensor == "token_embd.weight":
        return values
    values /= np.sqrt(columns)
    if tensor == "output.weight":
        values *= 3.0
        values[: len(CONTROL_TOKENS)] = 0.0
    return values
