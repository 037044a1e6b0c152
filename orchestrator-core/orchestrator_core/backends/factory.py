"""Which backend answers, and which file it reads.

Nothing is loaded here and no heavy library is imported: a backend that needs one imports it
in its own `load`, and says with MissingExtra what to install.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Iterable
from pathlib import Path

import orchestrator_core
from orchestrator_core.backends.adapters import is_adapter
from orchestrator_core.backends.base import ChatBackend
from orchestrator_core.backends.choice import Choice
from orchestrator_core.errors import ConfigurationError, ModelNotFound, ModelUnusable
from orchestrator_core.settings import BUILTIN_MODEL, Settings

log = logging.getLogger(__name__)

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_LATER_PART = re.compile(r"-(\d{5})-of-\d{5}\.gguf$")


def create_backend(settings: Settings) -> ChatBackend:
    """The backend that `settings` asks for; it loads when it is first used.

    Raises:
        ModelNotFound: `model.backend` is `auto` and `model.path` names nothing that is known.
        ConfigurationError: `model.backend` is `openai` and `model.url` is missing or wrong.
    """
    choice = choose_backend(settings)
    log.info("Backend %s: %s", choice.value, choice.reason)
    if settings.quantization.enabled and choice.value != "transformers":
        log.warning("quantization.enabled has no effect: only the transformers backend quantises at load.")
    match choice.value:
        case "scripted":
            from orchestrator_core.backends.scripted import ScriptedBackend

            return ScriptedBackend.from_settings(settings)
        case "openai":
            from orchestrator_core.backends.openai import OpenAIBackend

            return OpenAIBackend(settings)
        case "transformers":
            from orchestrator_core.backends.transformers import TransformersBackend

            return TransformersBackend(settings)
        case _:
            from orchestrator_core.backends.llama_cpp import LlamaCppBackend

            return LlamaCppBackend(settings, path=resolve_model_path(settings))


def choose_backend(settings: Settings) -> Choice[str]:
    """Name of the backend and the reason for it.

    `auto` takes, in this order:
        openai        when `model.url` is set
        llama_cpp     for `builtin`, a GGUF file, or a folder that holds one
        transformers  for a folder with a config.json or only an adapter, or a hub id (`owner/name`)

    Raises:
        ModelNotFound: none of these.
    """
    model = settings.model
    if model.backend != "auto":
        return Choice(model.backend, f"model.backend is {model.backend}")
    if model.url is not None:
        return Choice("openai", "model.url is set")
    if model.path == BUILTIN_MODEL:
        return Choice("llama_cpp", "the built-in model is a GGUF file")
    path = find_local(settings)
    if path is None:
        return _choose_by_name(model.path)
    if path.is_file():
        if path.suffix.lower() == ".gguf" or _has_gguf_magic(path):
            return Choice("llama_cpp", f"{path.name} is a GGUF file")
    elif (path / "config.json").is_file():
        return Choice("transformers", f"{path.name} is a folder with a config.json")
    elif is_adapter(path):
        return Choice("transformers", f"{path.name} is the folder of a LoRA adapter")
    elif _first_parts(path.glob("*.gguf")):
        return Choice("llama_cpp", f"{path.name} is a folder with a GGUF file")
    raise ModelUnusable(
        f"model.path {model.path!r} is neither a GGUF file nor a folder with a Hugging Face model.",
        hint="Give a *.gguf file, or a folder that holds a config.json or an adapter_config.json.",
    )


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
        raise _not_found(settings.model.path)
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


def _choose_by_name(name: str) -> Choice[str]:
    """For a name that is nothing on this machine."""
    if name.lower().endswith(".gguf") or not is_hub_id(name):
        raise _not_found(name)
    return Choice("transformers", f"{name} has the form of a Hugging Face model id")


def _not_found(name: str) -> ModelNotFound:
    return ModelNotFound(
        f"There is no model at {name!r}.",
        hint="Set model.path to a *.gguf file, a Hugging Face folder or id (owner/name), or "
        f"`{BUILTIN_MODEL}`; names are also looked up in models/ of the data folder.",
    )


def _the_only_gguf(folder: Path) -> Path:
    models = _first_parts(folder.glob("*.gguf"))
    if not models:
        raise ModelNotFound(f"The folder {str(folder)!r} holds no *.gguf file and no config.json.")
    if len(models) > 1:
        raise ConfigurationError(
            f"The folder {str(folder)!r} holds several models: {', '.join(model.name for model in models)}.",
            hint="Set model.path to one of these files.",
        )
    return models[0]


def _first_parts(files: Iterable[Path]) -> list[Path]:
    """GGUF files without the later parts of a split model; the first part loads the rest."""
    kept = []
    for file in sorted(files):
        part = _LATER_PART.search(file.name)
        if part is None or int(part[1]) == 1:
            kept.append(file)
    return kept


def _has_gguf_magic(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(4) == b"GGUF"
    except OSError:
        return False
