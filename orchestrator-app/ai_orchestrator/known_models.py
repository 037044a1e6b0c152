"""The models this machine could answer with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator_core.backends.factory import choose_backend
from orchestrator_core.backends.model_files import builtin_folders, find_builtin, resolve_model_path
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.settings import BUILTIN_MODEL, Settings


@dataclass(frozen=True, slots=True)
class KnownModel:
    """
    Args:
        name: what to give to `-m`.
        backend: what would run it; "" when nothing can.
        source: builtin, models folder, or configuration.
        path: the file or folder, where it is on this machine.
        size_bytes: of that file.
        active: it is the one the settings name.
        problem: why it cannot be used, or None.
    """

    name: str
    backend: str
    source: str
    path: str | None = None
    size_bytes: int | None = None
    active: bool = False
    problem: str | None = None


def known_models(settings: Settings) -> list[KnownModel]:
    """The configured model first, then the built-in one and the GGUF files of the models folder."""
    configured = _configured(settings)
    models = [configured]
    if settings.model.path != BUILTIN_MODEL:
        models.append(_builtin())
    models += [model for model in _in_folder(settings.models_folder) if model.path != configured.path]
    return models


def _configured(settings: Settings) -> KnownModel:
    name = settings.model.path
    source = "builtin" if name == BUILTIN_MODEL else "configuration"
    backend = ""
    try:
        backend = choose_backend(settings).value
        local = backend == "llama_cpp" or (backend == "transformers" and Path(name).expanduser().exists())
        path = resolve_model_path(settings) if local else None
    except OrchestratorError as error:
        return KnownModel(name, backend, source, active=True, problem=error.message)
    return KnownModel(name, backend, source, _text(path), _size(path), active=True)


def _builtin() -> KnownModel:
    try:
        path = find_builtin(builtin_folders())
    except OrchestratorError as error:
        return KnownModel(BUILTIN_MODEL, "llama_cpp", "builtin", problem=error.message)
    return KnownModel(BUILTIN_MODEL, "llama_cpp", "builtin", str(path), _size(path))


def _in_folder(folder: Path) -> list[KnownModel]:
    files = sorted(folder.rglob("*.gguf")) if folder.is_dir() else []
    return [
        KnownModel(
            str(file.relative_to(folder)), "llama_cpp", "models folder", str(file), _size(file),
            problem=None if _is_gguf(file) else "not a GGUF file",
        )
        for file in files
    ]  # fmt: skip


def _is_gguf(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(4) == b"GGUF"
    except OSError:
        return False


def _size(path: Path | None) -> int | None:
    return path.stat().st_size if path is not None and path.is_file() else None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
