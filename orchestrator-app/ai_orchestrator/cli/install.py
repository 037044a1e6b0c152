"""`orchestrator install`: optional parts, into the environment that runs this command."""

from __future__ import annotations

import shlex
import subprocess

import click

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.exits import FAILED, OK


@click.command(short_help="Add an optional part (hf, vps, train, ...).")
@click.argument("part")
@click.option("--dry-run", is_flag=True, help="Only print the command.")
def install(part: str, dry_run: bool) -> int:
    """Add an optional PART to this installation: hf (Hugging Face models), vps, train, mobile, mcp, encoder (search by
    meaning), mistral (its API).

    It goes into the environment of this very command, in the versions that were tested with it.
    """
    from orchestrator_core.own_commands import extras, pip_install
    from shared_context.child_environment import child_environment

    if part not in extras():
        raise click.BadParameter(f"{part} is none of {', '.join(extras())}.", param_hint="PART")
    command = pip_install(part)
    click.echo(shlex.join(command)) if dry_run else terminal.note(shlex.join(command))
    if dry_run:
        return OK
    done = subprocess.run(command, check=False, env=child_environment(installs=True))  # noqa: S603
    return FAILED if done.returncode else OK
