"""`python -m orchestrator_vps serve`: the commands of `orchestrator vps` without the desktop's package."""

from __future__ import annotations

import importlib
import sys

import click
from orchestrator_core.errors import ApplicationError

from orchestrator_vps.cli import COMMANDS


@click.group()
def group() -> None:
    """The VPS tier."""


for _name, (_where, _help) in COMMANDS.items():
    _module, _, _attribute = _where.partition(":")
    group.add_command(getattr(importlib.import_module(_module), _attribute), _name)

if __name__ == "__main__":
    try:
        group()
    except ApplicationError as error:
        click.echo(f"Error: {error.message}\n{error.hint or ''}".rstrip(), err=True)
        sys.exit(1)
