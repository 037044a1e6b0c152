"""Hints as they work in the shell of the person who reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click


def complete(text: str, given: Mapping[str, str] | None = None) -> str:
    """`text` with the commands in it completed: where the program is, and which memory is meant.

    Args:
        given: `--data` and `--config` as this command was given them (see `settings_options`); None: those of
            the command that runs.
    """
    from orchestrator_core.own_commands import runnable

    if given is None:
        context = click.get_current_context(silent=True)
        given = context.find_root().obj if context else None
    return runnable(text, lambda words: _meant(words, given or {}))


def find_command(words: Sequence[str]) -> tuple[click.Command, list[str]]:
    """The command of `orchestrator` that `words` name, and its own words.

    Raises:
        click.UsageError: there is none.
    """
    from ai_orchestrator.cli import orchestrator

    command: click.Command = orchestrator
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        context = click.Context(command, resilient_parsing=True)
        _, subcommand, rest = command.resolve_command(context, rest)
        assert subcommand is not None
        command = subcommand
    return command, rest


def _meant(words: Sequence[str], given: Mapping[str, str]) -> list[str]:
    try:
        command, rest = find_command(words)
    except click.UsageError:
        return []
    takes = {option for parameter in command.params for option in parameter.opts}
    names = [name for name in given if f"--{name}" in takes and f"--{name}" not in rest]
    return [word for name in names for word in (f"--{name}", given[name])]
