"""Writes a Mistral- or Llama-shaped Hugging Face model as GGUF for llama.cpp.

Covers dense models of the Llama family (RMSNorm, SwiGLU, RoPE, grouped-query attention,
tied embeddings or not) with a byte-level BPE tokenizer cut by GPT-2's expression. Anything
else is refused rather than exported wrongly: an exported model that differs from the
trained one is the commonest complaint about exporters.

llama.cpp rotates neighbouring dimensions where Hugging Face rotates halves, so the rows of
the query and key projections are reordered (as convert_hf_to_gguf.py in
github.com/ggml-org/llama.cpp does for this family).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, LlamaFileType, TokenType

from fine_tuning.errors import ExportFailed

ARCHITECTURE = "llama"
"""llama.cpp's name for the family; Mistral's models without sliding window are of it."""
PRE_TOKENIZER = "gpt-2"

FORMATS: Mapping[str, tuple[GGMLQuantizationType, LlamaFileType]] = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
"""Name to the type of all matrices; norms are always f32."""


@dataclass(frozen=True, slots=True)
class About:
    """What the file says about itself."""

    name: str = "Orchestrator tiny"
    description: str = "The built-in model of Orchestrator: knows this project and little else."
    licence: str = "mit"
    version: str = "1"
    temperature: float | None = None
    repetition_penalty: float | None = None
    """Sampling that the file advises (`general.sampling.*`); None: nothing."""


def export_folder(
    source: Path,
    target: Path,
    formats: Sequence[str] = ("f32", "q8_0"),
    *,
    stem: str = "orchestrator-tiny",
    about: About | None = None,
) -> list[Path]:
    """Export the Hugging Face folder `source` as `target/<stem>.<format>.gguf`, one per format.

    Raises:
        ExportFailed: the model or its tokenizer is of a kind not covered.
    """
    from safetensors.numpy import load_file

    config = json.loads((source / "config.json").read_text("utf-8"))
    tokenizer = json.loads((source / "tokenizer.json").read_text("utf-8"))
    template = _chat_template(source)
    weights: dict[str, Any] = {}
    for file in sorted(source.glob("*.safetensors")):
        weights |= load_file(file)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name in formats:
        path = target / f"{stem}.{name}.gguf"
        write_gguf(path, config, weights, tokenizer, chat_template=template, form=name, about=about)
        written.append(path)
    return written


def write_gguf(
    path: Path,
    config: Mapping[str, Any],
    weights: Mapping[str, Any],
    tokenizer: Mapping[str, Any],
    *,
    chat_template: str,
    form: str = "q8_0",
    about: About | None = None,
) -> None:
    """Write one GGUF atomically.

    Args:
        config: config.json.
        weights: Hugging Face names to arrays (float32 or float16).
        tokenizer: tokenizer.json.
        form: one of FORMATS.

    Raises:
        ExportFailed: see `export_folder`.
    """
    if form not in FORMATS:
        raise ExportFailed(f"Unknown format {form!r}; known: {', '.join(FORMATS)}.")
    _check(config, tokenizer)
    about = about or About()
    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(part, ARCHITECTURE)
    try:
        _write_about(writer, about, form)
        _write_sizes(writer, config)
        _write_tokenizer(writer, config, tokenizer, chat_template)
        for name, array in _tensors(config, weights):
            _write_tensor(writer, name, array, FORMATS[form][0])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    part.replace(path)


def rotary_order(weight: Any, heads: int) -> Any:
    """Rows of a query or key projection reordered from halves to neighbours, per head."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def _check(config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> None:
    if config.get("model_type") not in ("mistral", "llama"):
        raise ExportFailed(f"model_type {config.get('model_type')!r} is not covered; mistral and llama are.")
    if config.get("sliding_window"):
        raise ExportFailed("Sliding-window attention is not covered.")
    scaling = _rope(config).get("rope_type", "default")
    if scaling != "default" or config.get("rope_scaling"):
        raise ExportFailed(f"RoPE scaling {scaling!r} is not covered.")
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise ExportFailed("Projections with a bias are not covered.")
    pre, model = tokenizer.get("pre_tokenizer") or {}, tokenizer["model"]
    by_expression = pre.get("type") == "ByteLevel" and pre.get("use_regex", True)
    if model.get("type") != "BPE" or not by_expression or pre.get("add_prefix_space"):
        raise ExportFailed("Only byte-level BPE tokenizers cut by GPT-2's expression are covered.")
    if tokenizer.get("normalizer") is not None:
        raise ExportFailed("A tokenizer with a normalizer is not covered.")


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("rope_parameters") or {}


def _write_about(writer: gguf.GGUFWriter, about: About, form: str) -> None:
    writer.add_name(about.name)
    writer.add_description(about.description)
    writer.add_license(about.licence)
    writer.add_version(about.version)
    writer.add_file_type(FORMATS[form][1])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if about.temperature is not None:
        writer.add_sampling_temp(about.temperature)
    if about.repetition_penalty is not None:
        writer.add_sampling_penalty_repeat(about.repetition_penalty)


def _write_sizes(writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
    heads = int(config["num_attention_heads"])
    head_size = int(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_vocab_size(int(config["vocab_size"]))
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(float(_rope(config).get("rope_theta") or config.get("rope_theta") or 10000.0))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))


def _write_tokenizer(
    writer: gguf.GGUFWriter, config: Mapping[str, Any], tokenizer: Mapping[str, Any], template: str
) -> None:
    tokens, types = _vocabulary(int(config["vocab_size"]), tokenizer)
    merges = tokenizer["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(int(config["bos_token_id"]))
    writer.add_eos_token_id(int(config["eos_token_id"]))
    if config.get("pad_token_id") is not None:
        writer.add_pad_token_id(int(config["pad_token_id"]))
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    if template:
        writer.add_chat_template(template)


def _vocabulary(size: int, tokenizer: Mapping[str, Any]) -> tuple[list[str], list[int]]:
    """Token texts and types by id; ids without a token become unused ones."""
    by_id = {number: text for text, number in tokenizer["model"]["vocab"].items()}
    special = {}
    for added in tokenizer.get("added_tokens", []):
        by_id[added["id"]] = added["content"]
        special[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    if by_id and max(by_id) >= size:
        raise ExportFailed(f"The tokenizer has ids up to {max(by_id)}, the model only {size} entries.")
    tokens = [by_id.get(number, f"[unused{number}]") for number in range(size)]
    types = [
        special.get(number, TokenType.NORMAL if number in by_id else TokenType.UNUSED)
        for number in range(size)
    ]
    return tokens, [int(kind) for kind in types]


def _tensors(config: Mapping[str, Any], weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """GGUF names and arrays; query and key rows in llama.cpp's order."""
    heads = int(config["num_attention_heads"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, int(config["num_hidden_layers"]))
    for name, array in weights.items():
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue  # llama.cpp uses the embedding when there is no output matrix
        mapped = names.get_name(name, try_suffixes=(".weight",))
        if mapped is None:
            raise ExportFailed(f"The tensor {name!r} is not covered.")
        if name.endswith("q_proj.weight"):
            array = rotary_order(array, heads)
        elif name.endswith("k_proj.weight"):
            array = rotary_order(array, kv_heads)
        yield mapped, array


def _write_tensor(writer: gguf.GGUFWriter, name: str, array: Any, kind: GGMLQuantizationType) -> None:
    array = np.asarray(array, dtype=np.float32)
    if array.ndim < 2 or kind is GGMLQuantizationType.F32:
        writer.add_tensor(name, array)
    elif kind is GGMLQuantizationType.F16:
        writer.add_tensor(name, array.astype(np.float16))
    else:
        writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)


def _chat_template(source: Path) -> str:
    file = source / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    config = source / "tokenizer_config.json"
    settings = json.loads(config.read_text("utf-8")) if config.is_file() else {}
    return str(settings.get("chat_template") or "")
