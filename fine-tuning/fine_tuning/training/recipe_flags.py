"""The recipe's keys as command-line flags, so that a key is declared once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel

from fine_tuning.training.recipe import LoraRecipe, TrainingRecipe


def recipe_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--key` for every key of the recipe and `--lora_key` for those of the adapter."""
    for model, prefix in ((LoraRecipe, "lora_"), (TrainingRecipe, "")):
        for name, field in reversed(model.model_fields.items()):
            if not _is_model(field.annotation):
                command = _flag(prefix + name, field)(command)
    return command


def _flag(name: str, field: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    kind = _plain_type(field.annotation)
    names = [f"--{name}"] + ([f"--{name.replace('_', '-')}"] if "_" in name else [])
    default = "" if field.default is None else f"  [default: {field.get_default(call_default_factory=True)}]"
    described = f"{field.description}{default}"
    if kind is bool:
        switch = f"--{name}/--no_{name}"
        return click.option(switch, name, default=None, help=described)
    return click.option(*names, name, type=kind, default=None, help=described)


def _plain_type(annotation: Any) -> Any:
    """click's type of a field: the one besides None."""
    if get_origin(annotation) in (Union, UnionType, Annotated):
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        return _plain_type(kinds[0])
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    if annotation is Path:
        return click.Path(path_type=Path)
    return annotation if annotation in (int, float, bool) else str


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
