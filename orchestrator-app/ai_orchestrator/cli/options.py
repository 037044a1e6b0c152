"""Options that several commands share, and the settings they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

    from ai_orchestrator.cli.link.answers import Link

Function = TypeVar("Function", bound=Callable[..., Any])


def settings_options(function: Function) -> Function:
    """`--config` and `--data`, given to the command as `config` and `data`."""
    for option in (
        click.option(
            "--data", type=click.Path(file_okay=False), help="Data folder. [env: ORCHESTRATOR_DATA]"
        ),
        click.option(
            "--config",
            type=click.Path(dir_okay=False),
            help="Configuration file. [env: ORCHESTRATOR_CONFIG]",
        ),
    ):
        function = option(function)
    return function


def model_options(function: Function) -> Function:
    """`-m`, given to the command as `model`."""
    return click.option(
        "-m", "--model", metavar="MODEL",
        help="builtin, a GGUF file, or a Hugging Face id or folder. [env: ORCHESTRATOR_MODEL]",
    )(function)  # fmt: skip


def conversation_options(function: Function) -> Function:
    """`-c` and `--cid`, given to the command as `resume` and `conversation_id`."""
    for option in (
        click.option("--cid", "conversation_id", metavar="ID", help="Go on with this conversation."),
        click.option("-c", "--continue", "resume", is_flag=True, help="Go on with the latest conversation."),
    ):
        function = option(function)
    return function


def choose_conversation(link: Link, resume: bool, conversation_id: str | None) -> str:
    """The conversation a command talks in.

    Raises:
        click.UsageError: `-c`, and there is none yet.
        NotFound or ConversationNotFound: `--cid` is unknown.
    """
    if conversation_id is not None:
        link.history(conversation_id)
        return conversation_id
    if not resume:
        return link.begin()
    latest = link.latest()
    if latest is None:
        raise click.UsageError("There is no conversation to continue yet; leave out -c.")
    return latest


def json_option(function: Function) -> Function:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")(function)


def make_settings(config: str | None, data: str | None, **overrides: Any) -> Settings:
    """The settings of a command. Names use `__` for the dot: `server__port=5055`.

    Raises:
        ConfigurationError: see `load_settings`.
    """
    from orchestrator_core.settings import load_settings

    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return load_settings(
        file=Path(config) if config else None,
        overrides={"data": str(Path(data).expanduser().absolute()) if data else None, **dotted},
    )
