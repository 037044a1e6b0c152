"""Taking a model from the disk into the registry, with what stands beside it about its training."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from orchestrator_core.backends.model_files import first_parts
from orchestrator_core.backends.registered import base_of
from orchestrator_core.errors import InvalidRequest
from orchestrator_core.models.files import Progress, nothing, sha256_of
from orchestrator_core.models.registry import Registry
from orchestrator_core.models.version import Version
from orchestrator_core.settings import Settings
from shared_context.storage.identity import now

KEPT = ("*.gguf", "*.safetensors", "*.bin", "*.json", "*.jinja", "*.model", "*.txt", "LICENSE*", "README.md")
"""Of a folder: weights, tokenizer, configuration, licence."""

NOTES = {"metrics": "metrics.json", "parity": "parity.json", "recipe": "training_metadata.yaml"}
"""Fields of the manifest, and the files that a training run writes for them."""


def add_model(
    settings: Settings,
    path: Path,
    *,
    name: str | None = None,
    version: str | None = None,
    base: str | None = None,
    licence: str = "",
    dataset: Path | None = None,
    run: Path | None = None,
    source: str | None = None,
    progress: Progress = nothing,
) -> Version:
    """
    Args:
        path: a GGUF file, of a split one any part, or a folder.
        base: for an adapter, `builtin` or a reference.
        dataset: its hash goes into the manifest.
        run: folder of the training, with its metrics and recipe, where that is another.
        source: default: the path.

    Raises:
        InvalidRequest: it is no model, or can have no such name.
        ModelUnusable: the base is missing.
        Conflict, StoreFull, StoreError: see `Registry.add`.
    """
    registry = Registry(settings.models_folder)
    folder = path if path.is_dir() else path.parent
    about: dict[str, object] = {
        "name": name or name_of(path),
        "licence": licence,
        "source": source or str(path.absolute()),
        "created_at": now(),
    }
    if version is not None:
        about["version"] = version
    if base is not None:
        _, about["base_sha256"], base_version = base_of(settings, base)
        about["base"] = base if base_version is None else base_version.reference
    if dataset is not None:
        about["dataset_sha256"] = sha256_of(dataset)
    files = files_of(path)
    for field, file in NOTES.items():
        note = _note(folder / file) or (_note(run / file) if run is not None else {})
        if note:
            about[field] = note
    return registry.add(files, about, progress)


def files_of(path: Path) -> dict[str, Path]:
    """The files of a model by their names.

    Raises:
        InvalidRequest: there are none.
    """
    if path.is_file():
        stem = re.sub(r"-\d{5}-of-(\d{5})(\.\w+)$", r"-*-of-\1\2", path.name)
        parts = {file.name: file for file in path.parent.iterdir() if file.is_file() and file.match(stem)}
        return parts if stem != path.name else {path.name: path}
    files = {file.name: file for kind in KEPT for file in path.glob(kind) if file.is_file()}
    gguf = first_parts(file for file in files.values() if file.suffix == ".gguf")
    if gguf:
        # Beside a GGUF file the weights it was made of are not needed.
        files = {name: file for name, file in files.items() if file.suffix not in (".safetensors", ".bin")}
    for note in NOTES.values():
        files.pop(note, None)
    files.pop("manifest.json", None)
    if not files:
        raise InvalidRequest(
            f"{str(path)!r} holds no model.", hint="Name a *.gguf file or a folder with a model."
        )
    return files


def name_of(path: Path) -> str:
    """A name in the registry's form from that of a file or folder."""
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", path.absolute().stem if path.is_file() else path.absolute().name)
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:64].strip("-._")


def _note(file: Path) -> dict[str, Any]:
    """What a training run noted; {} where there is nothing that can be read."""
    try:
        text = file.read_text("utf-8")
        value = yaml.safe_load(text) if file.suffix == ".yaml" else json.loads(text)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return json.loads(json.dumps(value, default=str)) if isinstance(value, dict) else {}
