"""Options that several of the desktop's commands share, and the settings they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from orchestrator_core.command_options import Function, model_option, settings_arguments

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

    from ai_orchestrator.cli.link.answers import Link


MODELS = "builtin, a GGUF file, or a Hugging Face id or folder"
"""What the desktop runs."""

model_options = model_option(MODELS)
"""`-m`, given to the command as `model`."""


def conversation_options(function: Function) -> Function:
    """`-c` and `--cid`, given to the command as `resume` and `conversation_id`."""
    for option in (
        click.option("--cid", "conversation_id", metavar="ID", help="Go on with this conversation."),
        click.option("-c", "--continue", "resume", is_flag=True, help="Go on with the latest conversation."),
    ):
        function = option(function)
    return function


TIERS = ("auto", "desktop", "vps")
"""What a request's `tier` may say."""


def tier_option(function: Function) -> Function:
    """`--tier`, given to the command as `tier`."""
    return click.option(
        "--tier", type=click.Choice(TIERS),
        help="Who shall answer, and nobody else: desktop or vps. [default: auto, whoever is there]",
    )(function)  # fmt: skip


def choose_conversation(link: Link, resume: bool, conversation_id: str | None) -> str:
    """The conversation a command talks in; a new one begins with its first question.

    Raises:
        click.UsageError: `-c`, and there is none yet.
        NotFound or ConversationNotFound: `--cid` is unknown.
    """
    if conversation_id is not None:
        link.history(conversation_id)
        return conversation_id
    if not resume:
        from shared_context.storage.identity import new_id

        return new_id()
    latest = link.latest()
    if latest is None:
        raise click.UsageError("There is no conversation to continue yet; leave out -c.")
    return latest


def make_settings(config: str | None, data: str | None, **overrides: Any) -> Settings:
    """The settings of a command; see `settings_arguments`.

    Raises:
        ConfigurationError: see `load_settings`.
    """
    from orchestrator_core.settings import load_settings

    return load_settings(**settings_arguments(config, data, **overrides))
