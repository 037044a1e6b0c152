"""An adapter added into its base, shard by shard: the memory of one shard, nothing on a GPU."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

from fine_tuning.errors import ExportFailed

PREFIX = "base_model.model."
COPIED = ("*.json", "*.jinja", "*.model", "*.txt")
"""What a model's folder holds besides weights."""


def merge(base: Path, adapter: Path, target: Path) -> Path:
    """Write the merged model to `target`, a new folder with the base's shards.

    Args:
        base: the unquantised model's folder, with *.safetensors.
        adapter: a folder with adapter_config.json and adapter_model.safetensors.

    Raises:
        ExportFailed: a kind of adapter that cannot be merged, a damaged file, or weights without their layer.
    """
    from safetensors import SafetensorError

    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        pairs, scale = _pairs(adapter), _scale(adapter)
        shards = sorted(base.glob("*.safetensors"))
        if not shards:
            raise ExportFailed(f"{str(base)!r} has no *.safetensors to merge into.")
        part.mkdir(parents=True)
        left = dict(pairs)
        for shard in shards:
            _merge_shard(shard, part / shard.name, left, scale)
        if left:
            raise ExportFailed(f"The base has no weights for {sorted(left)[0]!r}: it is not this adapter's.")
        _copy_files(base, part)
        _copy_files(adapter, part, leave=("adapter_config.json", "metrics.json"))
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    except (SafetensorError, OSError, json.JSONDecodeError, KeyError) as error:
        raise ExportFailed(f"{str(adapter)!r} cannot be merged into {str(base)!r}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def base_of(adapter: Path) -> str:
    """The name or folder of the base that the adapter was trained on."""
    return str(_config(adapter)["base_model_name_or_path"])


def _config(adapter: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ExportFailed(f"{str(adapter)!r} is no adapter: {error}") from error
    return values


def _scale(adapter: Path) -> float:
    config = _config(adapter)
    odd = [
        name for name in ("use_dora", "modules_to_save", "alpha_pattern", "rank_pattern") if config.get(name)
    ]
    if odd:
        raise ExportFailed(f"Adapters with {', '.join(odd)} are not covered.")
    rank = float(config["r"])
    return float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _pairs(adapter: Path) -> dict[str, tuple[Any, Any]]:
    """The two matrices by the name of the weights they are added to."""
    from safetensors.torch import load_file

    halves: dict[str, dict[str, Any]] = {}
    for name, tensor in load_file(adapter / "adapter_model.safetensors").items():
        layer, _, half = name.removeprefix(PREFIX).partition(".lora_")
        if half not in ("A.weight", "B.weight"):
            raise ExportFailed(f"The adapter's tensor {name!r} is not covered.")
        halves.setdefault(f"{layer}.weight", {})[half[0]] = tensor
    return {name: (half["A"], half["B"]) for name, half in halves.items()}


def _merge_shard(shard: Path, target: Path, left: dict[str, tuple[Any, Any]], scale: float) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(shard)
    for name in tensors.keys() & left.keys():
        down, up = left.pop(name)
        base = tensors[name]
        tensors[name] = (base.float() + scale * (up.float() @ down.float())).to(base.dtype)
    save_file(tensors, target, metadata={"format": "pt"})


def _copy_files(source: Path, target: Path, leave: tuple[str, ...] = ()) -> None:
    for pattern in COPIED:
        for file in source.glob(pattern):
            if file.name not in leave:
                shutil.copyfile(file, target / file.name)
