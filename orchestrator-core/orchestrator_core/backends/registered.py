"""Which of the registry's versions the settings mean, and the settings that load it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator_core.backends.model_files import builtin_folders, find_builtin, find_named
from orchestrator_core.errors import InvalidRequest, ModelUnusable, NotFound
from orchestrator_core.models.files import sha256_of
from orchestrator_core.models.registry import Registry
from orchestrator_core.models.version import Version
from orchestrator_core.settings import BUILTIN_MODEL, Settings


@dataclass(frozen=True, slots=True)
class Registered:
    """
    Args:
        settings: with the version's files in the place of `model.path` and `lora.path`.
        base: the model an adapter belongs to, as receipts name it.
        base_version: None where that is the built-in one, or this is no adapter.
    """

    version: Version
    settings: Settings
    base: str | None = None
    base_version: Version | None = None


def registered(settings: Settings) -> Registered | None:
    """The version that answers under these settings: the active one, or the one that `model.path` names;
    None: something else.

    Raises:
        ModelUnusable: it is not there, or not whole.
    """
    reference = reference_of(settings)
    if reference is None:
        return None
    try:
        version = Registry(settings.models_folder).find(reference)
    except NotFound as error:
        raise ModelUnusable(
            f"The model {reference} is not in the registry any more.",
            hint="Activate another one: `orchestrator models list`, `orchestrator models activate NAME:VERSION`",
        ) from error
    return load_of(settings, version)


def reference_of(settings: Settings) -> str | None:
    """The reference of that version.

    Raises:
        ModelUnusable: the file that names the active one is damaged.
    """
    if settings.model.url is not None or ":" in settings.model.backend:
        return None  # it answers elsewhere, or in a way of its own
    registry = Registry(settings.models_folder)
    active = registry.active()
    if active is not None and active.instead_of == settings.model.path:
        return active.reference
    if settings.model.path == BUILTIN_MODEL:
        return None
    try:
        version = registry.find(settings.model.path)
    except (InvalidRequest, NotFound):
        return None
    configured = find_named(settings.model.path, settings)
    # A name alone is also the folder of its versions; any other file or folder of that name is meant itself.
    return version.reference if configured in (None, version.folder.parent.absolute()) else None


def in_force(settings: Settings) -> Settings:
    """The settings with the files of the version that answers.

    Raises:
        ModelUnusable: see `registered`.
    """
    known = registered(settings)
    return settings if known is None else known.settings


def load_of(settings: Settings, version: Version) -> Registered:
    """What loads this version.

    Raises:
        ModelUnusable: a file is missing or has another size, or the adapter's base is missing or another one.
    """
    _check_sizes(version)
    manifest = version.manifest
    changed = settings.model_copy(deep=True)
    if manifest.base is None:
        changed.model.path = str(version.path)
        changed.lora.enabled, changed.lora.path = False, None
        return Registered(version, changed)
    base_path, base_sha256, base_version = base_of(settings, manifest.base)
    if manifest.base_sha256 is not None and base_sha256 != manifest.base_sha256:
        raise ModelUnusable(
            f"{version.reference} was made for another {manifest.base} than the one that is here.",
            hint="An adapter fits the very file it was trained on.",
        )
    changed.model.path = str(base_path)
    changed.lora.enabled, changed.lora.path = True, str(version.path)
    name = manifest.base if base_version is None else base_version.reference
    return Registered(version, changed, name, base_version)


def base_of(settings: Settings, base: str) -> tuple[Path, str, Version | None]:
    """An adapter's base: its file or folder, the hash of its main file, and its version.

    Args:
        base: `builtin`, or a reference.

    Raises:
        ModelUnusable: it is not there, or an adapter itself.
    """
    if base == BUILTIN_MODEL:
        path = find_builtin(builtin_folders())
        return path, sha256_of(path), None
    try:
        version = Registry(settings.models_folder).find(base)
    except (NotFound, InvalidRequest) as error:
        raise ModelUnusable(f"The base model {base} is missing: {error.message}", hint=error.hint) from error
    if version.manifest.base is not None:
        raise ModelUnusable(f"{base} is an adapter itself; an adapter needs a whole model as its base.")
    _check_sizes(version)
    main = version.manifest.main_file
    files = version.manifest.files
    hashed = files[main] if main is not None else files[min(files)]
    return version.path, hashed.sha256, version


def _check_sizes(version: Version) -> None:
    """Cheap, for each start; `Registry.verify` reads everything."""
    for name, file in version.manifest.files.items():
        path = version.folder / name
        held = path.stat().st_size if path.is_file() else None
        if held != file.size:
            problem = "is missing" if held is None else f"has {held} bytes instead of {file.size}"
            raise ModelUnusable(
                f"{name} of {version.reference} {problem}.", code="model_damaged",
                hint="Go back to the model before it: `orchestrator models rollback`",
            )  # fmt: skip
