"""Options that commands of every tier share, and what they mean for the settings.

Imports nothing but click: a command's options are known before anything else is loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def settings_options(function: Function) -> Function:
    """`--config` and `--data`, given to the command as `config` and `data`.

    As absolute paths they are also kept in the root context's `obj`, for hints that name other commands.
    """
    for option in (
        click.option(
            "--data", type=click.Path(file_okay=False), callback=_keep,
            help="Data folder. [env: ORCHESTRATOR_DATA]",
        ),
        click.option(
            "--config", type=click.Path(dir_okay=False), callback=_keep,
            help="Configuration file. [env: ORCHESTRATOR_CONFIG]",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def _keep(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value:
        kept = context.find_root().ensure_object(dict)
        kept[parameter.name] = str(Path(value).expanduser().absolute())
    return value


def model_option(models: str) -> Callable[[Function], Function]:
    """`-m`, given to the command as `model`.

    Args:
        models: what can be named there.
    """
    return click.option("-m", "--model", metavar="MODEL", help=f"{models}. [env: ORCHESTRATOR_MODEL]")


def server_options(
    default_port: int, models: str
) -> Callable[[Callable[[dict[str, Any]], None]], Callable[..., None]]:
    """All options of a command that starts a server; it is given what `load_settings` takes.

    Args:
        default_port: what the settings say where nobody chose; only told.
        models: see `model_option`.
    """

    def decorate(command: Callable[[dict[str, Any]], None]) -> Callable[..., None]:
        @click.option("--host", help="Address to listen on. [default: 127.0.0.1; env: ORCHESTRATOR_HOST]")
        @click.option(
            "--port", type=click.IntRange(0, 65535),
            help=f"0: any free port. [default: {default_port}; env: ORCHESTRATOR_PORT]",
        )  # fmt: skip
        @model_option(models)
        @log_level_option()
        @settings_options
        @functools.wraps(command)
        def with_options(
            host: str | None,
            port: int | None,
            model: str | None,
            log_level: str | None,
            config: str | None,
            data: str | None,
        ) -> None:
            command(
                settings_arguments(
                    config,
                    data,
                    server__host=host,
                    server__port=port,
                    model__path=model,
                    log__level=log_level,
                )
            )

        return with_options

    return decorate


def log_level_option(
    description: str = "[default: INFO; env: ORCHESTRATOR_LOG_LEVEL]",
) -> Callable[[Function], Function]:
    """`--log-level`, given to the command as `log_level`."""
    levels = ("DEBUG", "INFO", "WARNING", "ERROR")
    return click.option(
        "--log-level", type=click.Choice(levels, case_sensitive=False), metavar=f"[{'|'.join(levels)}]",
        help=description,
    )  # fmt: skip


def json_option(function: Function) -> Function:
    """`--json`, given to the command as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")(function)


def settings_arguments(config: str | None, data: str | None, **overrides: Any) -> dict[str, Any]:
    """What `load_settings` takes, from what a command was given. Names use `__` for the dot:
    `server__port=5055`; None leaves a setting as it is."""
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return {
        "file": Path(config) if config else None,
        "overrides": {"data": str(Path(data).expanduser().absolute()) if data else None, **dotted},
    }
