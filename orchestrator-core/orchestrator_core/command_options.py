"""Options that commands of every tier share, and what they mean for the settings.

Imports nothing but click: a command's options are known before anything else is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

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


def address_options(default_port: int) -> Callable[[Function], Function]:
    """`--host` and `--port` of a server, given to the command as `host` and `port`.

    Args:
        default_port: what the settings say where nobody chose; only told.
    """

    def decorate(function: Function) -> Function:
        for option in (
            click.option(
                "--port", type=click.IntRange(0, 65535),
                help=f"0: any free port. [default: {default_port}; env: ORCHESTRATOR_PORT]",
            ),
            click.option("--host", help="Address to listen on. [default: 127.0.0.1; env: ORCHESTRATOR_HOST]"),
        ):  # fmt: skip
            function = option(function)
        return function

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
