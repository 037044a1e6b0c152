"""What a job runs, from what was asked for; checked before it is queued."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from orchestrator_core.backends.model_files import builtin_folders, find_builtin, is_hub_id
from orchestrator_core.backends.registered import load_of
from orchestrator_core.errors import InvalidRequest
from orchestrator_core.models.registry import Registry
from orchestrator_core.models.version import Version
from orchestrator_core.settings import BUILTIN_MODEL, Settings

from ai_orchestrator.jobs.job import Kind

MODULES = {"train": "fine_tuning.training.cli", "eval": "fine_tuning.evaluation.cli"}

EVAL_OPTIONS: dict[str, type] = {"setting": str, "limit": int, "max_tokens": int, "threads": int}

NOT_FROM_OUTSIDE = frozenset(
    {
        "data_path",
        "eval_data_path",
        "lora",
        "output_dir",
        "model",
        "chat_template",
        "trust_remote_code",
        "use_wandb",
    }
)
"""Keys of a recipe that name files of this machine, run foreign code or speak to others."""


def arguments_of(
    settings: Settings, kind: Kind, model: str, dataset: Path, options: dict[str, Any], output: Path
) -> list[str]:
    """
    Raises:
        InvalidRequest: an option is unknown or of a wrong value, or the model cannot be used for this.
        NotFound: there is no such model. ModelUnusable: it is not whole.
    """
    given: dict[str, Any]
    if kind == "train":
        _check_recipe(options)
        given = {"model": _base(settings, model), "data_path": dataset, "output_dir": output, **options}
    else:
        _check_eval(options)
        given = {**_evaluated(settings, model, output), "eval_file": dataset, **options}
    flags = [_flag(name, value) for name, value in given.items() if value is not None]
    return [sys.executable, "-c", f"from {MODULES[kind]} import main; main()", *flags]


def _base(settings: Settings, model: str) -> str:
    """What a training begins with."""
    version = _version(settings, model)
    if version is None:
        return _elsewhere(model)
    if version.manifest.base is not None:
        raise InvalidRequest(
            f"{version.reference} is an adapter.", hint=f"Name its base: {version.manifest.base}"
        )
    return str(version.path)


def _evaluated(settings: Settings, model: str, output: Path) -> dict[str, Any]:
    """What is evaluated, and where the result is kept: beside a version, where the gate looks for it."""
    version = _version(settings, model)
    if version is None:
        return {"model_path": _elsewhere(model), "results_dir": output}
    known = load_of(settings, version).settings
    adapter = {"adapter": known.lora.path} if known.lora.enabled else {}
    return {"model_path": known.model.path, **adapter, "results_dir": version.evaluations}


def _version(settings: Settings, model: str) -> Version | None:
    """None: not of the registry."""
    if model == BUILTIN_MODEL or is_hub_id(model):
        return None
    return Registry(settings.models_folder).find(model)


def _elsewhere(model: str) -> str:
    return str(find_builtin(builtin_folders())) if model == BUILTIN_MODEL else model


def _check_recipe(options: dict[str, Any]) -> None:
    from fine_tuning.errors import RecipeError
    from fine_tuning.training.recipe import load_recipe

    refused = sorted(NOT_FROM_OUTSIDE & options.keys())
    if refused:
        raise InvalidRequest(f"{refused[0]} is no option of a job.", param=refused[0])
    try:
        load_recipe(flags=options)
    except RecipeError as error:
        raise InvalidRequest(str(error)) from None


def _check_eval(options: dict[str, Any]) -> None:
    for name, value in options.items():
        kind = EVAL_OPTIONS.get(name)
        if kind is None:
            raise InvalidRequest(
                f"{name[:80]!r} is no option of an evaluation; there are {', '.join(EVAL_OPTIONS)}.",
                param=name[:80],
            )
        if (
            not isinstance(value, kind)
            or isinstance(value, bool)
            or (isinstance(value, str) and value[:1] == "-")
        ):
            raise InvalidRequest(f"{name} must be {'a number' if kind is int else 'a word'}.", param=name)


def _flag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no_{name}"
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"--{name}={text}"
