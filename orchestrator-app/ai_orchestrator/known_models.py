"""The models this machine could answer with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator_core.backends.factory import choose_backend
from orchestrator_core.backends.model_files import builtin_folders, find_builtin, resolve_model_path
from orchestrator_core.backends.registered import reference_of
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.models.manifest import MANIFEST_FILE
from orchestrator_core.models.registry import Registry
from orchestrator_core.models.version import Version
from orchestrator_core.settings import BUILTIN_MODEL, Settings


@dataclass(frozen=True, slots=True)
class KnownModel:
    """
    Args:
        name: what to give to `-m`.
        backend: what would run it; "" when nothing can.
        source: builtin, registry, models folder, or configuration.
        path: the file or folder, where it is on this machine.
        size_bytes: of that file.
        active: it is the one that answers.
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
    """The one that answers first, then the configured, the built-in, the registry's, and the GGUF files of the
    models folder."""
    active = _active(settings)
    configured = _configured(settings, active=active is None)
    models = [configured]
    if settings.model.path != BUILTIN_MODEL:
        models.append(_builtin())
    models += [_registered(version, active) for version in Registry(settings.models_folder).versions()]
    models += [model for model in _in_folder(settings.models_folder) if model.path != configured.path]
    return sorted(models, key=lambda model: not model.active)


def _active(settings: Settings) -> str | None:
    try:
        return reference_of(settings)
    except OrchestratorError:
        return None


def _registered(version: Version, active: str | None) -> KnownModel:
    manifest = version.manifest
    backend = "transformers" if manifest.main_file is None else "llama_cpp"
    return KnownModel(
        version.reference, backend, "registry", str(version.path), manifest.size,
        active=version.reference == active,
    )  # fmt: skip


def _configured(settings: Settings, *, active: bool) -> KnownModel:
    name = settings.model.path
    source = "builtin" if name == BUILTIN_MODEL else "configuration"
    backend = ""
    try:
        backend = choose_backend(settings).value
        local = backend == "llama_cpp" or (backend == "transformers" and Path(name).expanduser().exists())
        path = resolve_model_path(settings) if local else None
    except OrchestratorError as error:
        return KnownModel(name, backend, source, active=active, problem=error.message)
    return KnownModel(name, backend, source, _text(path), _size(path), active=active)


def _builtin() -> KnownModel:
    try:
        path = find_builtin(builtin_folders())
    except OrchestratorError as error:
        return KnownModel(BUILTIN_MODEL, "llama_cpp", "builtin", problem=error.message)
    return KnownModel(BUILTIN_MODEL, "llama_cpp", "builtin", str(path), _size(path))


def _in_folder(folder: Path) -> list[KnownModel]:
    """Those that lie there by themselves: of a folder with a manifest the registry tells."""
    files = sorted(folder.rglob("*.gguf")) if folder.is_dir() else []
    files = [file for file in files if not file.relative_to(folder).parts[0].startswith(".")]
    files = [file for file in files if not (file.parent / MANIFEST_FILE).exists()]
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
