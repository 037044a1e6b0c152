"""Options that this tier's commands share, and the settings they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

Function = TypeVar("Function", bound=Callable[..., Any])


def settings_options(function: Function) -> Function:
    """`--config` and `--data`, given to the command as `config` and `data`."""
    for option in (
        click.option(
            "--data", type=click.Path(file_okay=False), help="Data folder. [env: ORCHESTRATOR_DATA]"
        ),
        click.option(
            "--config", type=click.Path(dir_okay=False), help="Configuration file. [env: ORCHESTRATOR_CONFIG]"
        ),
    ):
        function = option(function)
    return function


def make_settings(config: str | None, data: str | None, **overrides: Any) -> Settings:
    """The settings of a command. Names use `__` for the dot: `server__port=8002`.

    Raises:
        ConfigurationError: see `load_settings`.
    """
    from orchestrator_vps.configuration import load_vps_settings

    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return load_vps_settings(
        file=Path(config) if config else None,
        overrides={"data": str(Path(data).expanduser().absolute()) if data else None, **dotted},
    )
