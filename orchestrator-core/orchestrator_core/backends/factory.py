"""Which backend answers.

Nothing is loaded here and no heavy library is imported: a backend that needs one imports it
in its own `load`, and says with MissingExtra what to install.
"""

from __future__ import annotations

import logging
import pkgutil
from collections.abc import Callable
from typing import cast

from orchestrator_core.backend import ChatBackend, ModelNames
from orchestrator_core.backends.adapters import is_adapter
from orchestrator_core.backends.choice import Choice
from orchestrator_core.backends.model_files import (
    find_local,
    first_parts,
    has_gguf_magic,
    is_hub_id,
    model_not_found,
    resolve_model_path,
)
from orchestrator_core.backends.registered import Registered, registered
from orchestrator_core.errors import ConfigurationError, ModelUnusable
from orchestrator_core.settings import BUILTIN_MODEL, Settings

log = logging.getLogger(__name__)


def create_backend(settings: Settings) -> ChatBackend:
    """The backend of the model that is to answer: the registry's active one, else the one that `settings` name.
    It loads when it is first used.

    Raises:
        ModelNotFound: `model.backend` is `auto` and `model.path` names nothing that is known.
        ModelUnusable: the registry's version is not whole.
        ConfigurationError: `model.backend` is `openai` and `model.url` is missing or wrong, or it is
            an import path that leads nowhere.
    """
    known = registered(settings)
    return create_plain_backend(settings) if known is None else create_registered_backend(known)


def create_registered_backend(known: Registered) -> ChatBackend:
    """The backend of one version of the registry; its answers name it."""
    return create_plain_backend(known.settings, ModelNames(known.version.reference, known.base))


def create_plain_backend(settings: Settings, names: ModelNames | None = None) -> ChatBackend:
    """The backend for what `settings` name, whatever the registry says; see `create_backend`."""
    choice = choose_backend(settings)
    log.info("Backend %s: %s", choice.value, choice.reason)
    if settings.quantization.enabled and choice.value != "transformers":
        log.warning("quantization.enabled has no effect: only the transformers backend quantises at load.")
    match choice.value:
        case "openai":
            from orchestrator_core.backends.openai import OpenAIBackend

            return OpenAIBackend(settings)
        case "transformers":
            from orchestrator_core.backends.transformers import TransformersBackend

            return TransformersBackend(settings, names=names)
        case "llama_cpp":
            from orchestrator_core.backends.llama_cpp import LlamaCppBackend

            return LlamaCppBackend(settings, path=resolve_model_path(settings), names=names)
        case import_path:
            return _imported(import_path)(settings)


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
        if path.suffix.lower() == ".gguf" or has_gguf_magic(path):
            return Choice("llama_cpp", f"{path.name} is a GGUF file")
    elif (path / "config.json").is_file():
        return Choice("transformers", f"{path.name} is a folder with a config.json")
    elif is_adapter(path):
        return Choice("transformers", f"{path.name} is the folder of a LoRA adapter")
    elif first_parts(path.glob("*.gguf")):
        return Choice("llama_cpp", f"{path.name} is a folder with a GGUF file")
    raise ModelUnusable(
        f"model.path {model.path!r} is neither a GGUF file nor a folder with a Hugging Face model.",
        hint="Give a *.gguf file, or a folder that holds a config.json or an adapter_config.json.",
    )


def _imported(path: str) -> Callable[[Settings], ChatBackend]:
    """
    Raises:
        ConfigurationError: there is nothing callable at this import path.
    """
    try:
        make = pkgutil.resolve_name(path)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"model.backend {path!r} cannot be imported: {error}.",
            hint="Give module:function, where the module can be imported (PYTHONPATH).",
        ) from error
    if not callable(make):
        raise ConfigurationError(f"model.backend {path!r} is no function that makes a backend from settings.")
    return cast("Callable[[Settings], ChatBackend]", make)


def _choose_by_name(name: str) -> Choice[str]:
    """For a name that is nothing on this machine."""
    if name.lower().endswith(".gguf") or not is_hub_id(name):
        raise model_not_found(name)
    return Choice("transformers", f"{name} has the form of a Hugging Face model id")
