"""Folders that hold only a LoRA adapter, as training leaves them, and the model it belongs to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from orchestrator_core.backends.hub import MODEL_FILE
from orchestrator_core.errors import ModelUnusable

ADAPTER_FILE = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """
    Args:
        folder: with the adapter's weights.
        base: what its configuration calls the base model: a folder or a hub id.
    """

    folder: Path
    base: str

    @property
    def base_beside(self) -> Path | None:
        """The base model's folder, where `base` is a path seen from the adapter's folder."""
        try:
            base = (self.folder / Path(self.base).expanduser()).resolve()
            return base if base.is_dir() and base != self.folder.resolve() else None
        except (OSError, RuntimeError, ValueError):  # no path at all
            return None


def is_adapter(folder: Path) -> bool:
    """Whether this is an adapter's folder and not a model's."""
    return (folder / ADAPTER_FILE).is_file() and not (folder / MODEL_FILE).is_file()


def read_adapter(folder: Path) -> AdapterFolder:
    """
    Raises:
        ModelUnusable: its configuration cannot be read, or names no base model.
    """
    try:
        config = json.loads((folder / ADAPTER_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnusable(f"{ADAPTER_FILE} in {str(folder)!r} cannot be read: {error}") from error
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not isinstance(base, str) or not base.strip():
        raise ModelUnusable(
            f"{ADAPTER_FILE} in {str(folder)!r} does not name the adapter's base model.",
            hint="Set model.path to the base model, and lora.enabled and lora.path to this folder.",
        )
    return AdapterFolder(folder, base.strip())
