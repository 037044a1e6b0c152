"""What the `transformers` backend loads: a model, and an adapter where there is one.

`model.path` may also be a folder that holds only an adapter, as training leaves it. Its base model
is then looked up by the name in its configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator_core.backends import hub
from orchestrator_core.backends.adapters import ADAPTER_FILE, AdapterFolder, is_adapter, read_adapter
from orchestrator_core.backends.model_files import find_local, find_named, is_hub_id
from orchestrator_core.errors import ConfigurationError, ModelNotFound, ModelUnusable
from orchestrator_core.settings import BUILTIN_MODEL, HF_SEED_MODEL, Settings


@dataclass(frozen=True, slots=True)
class Named:
    """The names people know.

    Args:
        model: a folder or a hub id.
        adapter: the same, or None. A fresh adapter has no name.
        adapter_folder: when `model.path` is an adapter's folder.
    """

    model: str
    adapter: str | None = None
    adapter_folder: AdapterFolder | None = None


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the files are."""

    model: str
    adapter: str | None = None


def look_up(settings: Settings) -> Named:
    """The names, without touching the network.

    Raises:
        ModelUnusable: an adapter's configuration is broken.
        ConfigurationError: two adapters are asked for.
    """
    path, lora = settings.model.path, settings.lora
    chosen = lora.path if lora.enabled else None
    if path == BUILTIN_MODEL:
        return Named(HF_SEED_MODEL, chosen)
    folder = find_local(settings)
    if folder is None or not is_adapter(folder):
        return Named(path, chosen)
    if chosen is not None and Path(chosen).resolve() != folder.resolve():
        raise ConfigurationError(
            f"model.path {path!r} is an adapter, and lora.path names another one, {chosen!r}.",
            hint="Set model.path to the base model, or leave out lora.path.",
        )
    adapter = read_adapter(folder)
    return Named(adapter.base, path, adapter)


def fetch(settings: Settings, named: Named) -> Folders:
    """The folders on this machine; what is only on the hub is downloaded.

    Raises:
        ModelNotFound, ModelUnusable, MissingExtra.
    """
    if named.adapter_folder is not None:
        return Folders(_base_of(named.adapter_folder, settings), str(named.adapter_folder.folder))
    return Folders(_model(settings, named.model), _adapter(named.adapter))


def _model(settings: Settings, name: str) -> str:
    folder = None if settings.model.path == BUILTIN_MODEL else find_local(settings)
    if folder is not None and folder.is_file():
        raise ModelUnusable(
            f"{name!r} is a file; the transformers backend reads folders.",
            hint="For a GGUF file set model.backend to llama_cpp (or auto).",
        )
    if folder is not None:
        return str(folder)
    if not is_hub_id(name):
        raise ModelNotFound(
            f"There is no model folder {name!r}.",
            hint="Give a folder with a config.json, or a Hugging Face id (owner/name).",
        )
    return str(hub.fetch(name))


def _adapter(name: str | None) -> str | None:
    if name is None or Path(name).exists():
        return name
    if not is_hub_id(name):
        raise ModelNotFound(
            f"There is no adapter folder {name!r}.",
            hint=f"Set lora.path to a folder with an {ADAPTER_FILE}, or to a Hugging Face id (owner/name).",
        )
    return str(hub.fetch(name, ADAPTER_FILE))


def _base_of(adapter: AdapterFolder, settings: Settings) -> str:
    """The base model's folder: seen from the adapter's, from here, or from the hub."""
    folder = adapter.base_beside or find_named(adapter.base, settings)
    if folder is not None:
        return str(folder)
    mismatch = f"The adapter {str(adapter.folder)!r} belongs to the base model {adapter.base!r}"
    if not is_hub_id(adapter.base):
        raise ModelNotFound(
            f"{mismatch}, and there is no such folder.",
            hint=f"Correct base_model_name_or_path in its {ADAPTER_FILE}, or set model.path to the base "
            "model, and lora.enabled and lora.path to the adapter.",
        )
    try:
        return str(hub.fetch(adapter.base))
    except ModelNotFound as error:
        raise ModelNotFound(f"{mismatch}. {error.message}", hint=error.hint) from error
