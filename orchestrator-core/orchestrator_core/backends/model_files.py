"""Which file or folder on this machine a model's name stands for. Nothing is loaded here."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

import orchestrator_core
from orchestrator_core.backends.adapters import is_adapter
from orchestrator_core.errors import ConfigurationError, ModelNotFound
from orchestrator_core.settings import BUILTIN_MODEL, Settings

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_LATER_PART = re.compile(r"-(\d{5})-of-\d{5}\.gguf$")


def resolve_model_path(settings: Settings) -> Path:
    """The model's local file (GGUF) or folder (Hugging Face).

    `builtin` is the model shipped with the project; other relative names are looked up in
    the working folder and in `models/` of the data folder; a folder with one GGUF means it;
    an adapter's folder stands for itself, its base model is found when it is loaded.

    Raises:
        ModelNotFound: there is no such file or folder.
        ConfigurationError: a folder holds several GGUF models.
    """
    if settings.model.path == BUILTIN_MODEL:
        return find_builtin(builtin_folders())
    path = find_local(settings)
    if path is None:
        raise model_not_found(settings.model.path)
    if path.is_file() or (path / "config.json").is_file() or is_adapter(path):
        return path
    return _the_only_gguf(path)


def find_local(settings: Settings) -> Path | None:
    """The file or folder that `model.path` names on this machine, or None."""
    return find_named(settings.model.path, settings)


def find_named(name: str, settings: Settings) -> Path | None:
    """The file or folder of this name: in the working folder, or in `models/` of the data folder."""
    given = Path(name).expanduser()
    for candidate in (given, settings.models_folder / given):
        try:
            if candidate.exists():
                return candidate.absolute()
        except (OSError, ValueError):  # a name too long to be a path, or a folder that may not be entered
            continue
    return None


def is_hub_id(name: str) -> bool:
    """Whether this has the form `owner/name`."""
    return _HUB_ID.fullmatch(name) is not None


def builtin_folders() -> list[Path]:
    """Where the built-in model may lie: in a checkout, or in the installed learning package."""
    checkout = Path(orchestrator_core.__file__).resolve().parents[2] / "fine-tuning"
    folders = [checkout / "builtin"]
    spec = importlib.util.find_spec("fine_tuning")  # found, not imported: learning stays above us
    for location in (spec and spec.submodule_search_locations) or ():
        folders += [Path(location) / "builtin", Path(location).parent / "builtin"]
    return list(dict.fromkeys(folders))


def find_builtin(folders: Iterable[Path]) -> Path:
    """The one `*.gguf` in the first of these folders that has any.

    Raises:
        ModelNotFound: none has.
        ConfigurationError: a folder holds more than one.
    """
    searched = list(folders)
    for folder in searched:
        if any(folder.glob("*.gguf")):
            return _the_only_gguf(folder)
    raise ModelNotFound(
        "The built-in model is missing: no *.gguf in "
        + " or ".join(str(folder) for folder in searched)
        + ".",
        hint="Train it with `python fine-tuning/train_tiny.py`, or set model.path to another model.",
    )


def model_not_found(name: str) -> ModelNotFound:
    return ModelNotFound(
        f"There is no model at {name!r}.",
        hint="Set model.path to a *.gguf file, a Hugging Face folder or id (owner/name), or "
        f"`{BUILTIN_MODEL}`; names are also looked up in models/ of the data folder.",
    )


def _the_only_gguf(folder: Path) -> Path:
    models = first_parts(folder.glob("*.gguf"))
    if not models:
        raise ModelNotFound(f"The folder {str(folder)!r} holds no *.gguf file and no config.json.")
    if len(models) > 1:
        raise ConfigurationError(
            f"The folder {str(folder)!r} holds several models: {', '.join(model.name for model in models)}.",
            hint="Set model.path to one of these files.",
        )
    return models[0]


def first_parts(files: Iterable[Path]) -> list[Path]:
    """GGUF files without the later parts of a split model; the first part loads the rest."""
    kept = []
    for file in sorted(files):
        part = _LATER_PART.search(file.name)
        if part is None or int(part[1]) == 1:
            kept.append(file)
    return kept


def has_gguf_magic(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(4) == b"GGUF"
    except OSError:
        return False
