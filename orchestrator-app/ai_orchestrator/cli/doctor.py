"""`orchestrator doctor`: checks this installation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.advice import complete
from ai_orchestrator.cli.exits import FAILED, OK
from ai_orchestrator.cli.options import make_settings, model_options

if TYPE_CHECKING:
    from ai_orchestrator.doctor import Finding

MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


@click.command(short_help="Check this installation and say what to do.")
@model_options
@json_option
@settings_options
@click.pass_context
def doctor(
    ctx: click.Context, model: str | None, as_json: bool, config: str | None, data: str | None
) -> None:
    """Check Python, engine, model, memory, disk, port, databases and safety; say what to do.

    The engine proves itself by decoding in a child process. Exit code 1 when a check fails.
    Nothing is changed.
    """
    from orchestrator_core.errors import ConfigurationError
    from orchestrator_core.settings import Settings

    from ai_orchestrator.doctor import judge
    from ai_orchestrator.doctor.probes import look, see_configuration

    problem: ConfigurationError | None = None
    try:
        settings = make_settings(config, data, model__path=model)
    except ConfigurationError as error:
        problem, settings = error, Settings()
        if data:
            settings.data = Path(data).expanduser().absolute()
    configuration = see_configuration(Path(config) if config else None, os.environ, problem)
    findings = [
        replace(finding, advice=finding.advice and complete(finding.advice))
        for finding in judge(look(settings, configuration))
    ]
    failed = any(finding.verdict == "fail" for finding in findings)
    if as_json:
        terminal.write_json({"ok": not failed, "checks": [asdict(finding) for finding in findings]})
    else:
        _show(findings)
    ctx.exit(FAILED if failed else OK)


def _show(findings: Sequence[Finding]) -> None:
    if not terminal.has_terminal():
        for finding in findings:
            click.echo("\t".join((finding.verdict, finding.check, finding.message, finding.advice or "")))
        return
    width = max(len(finding.check) for finding in findings)
    colour = terminal.wants_colour()
    for finding in findings:
        mark, shade = MARKS[finding.verdict]
        mark = click.style(mark, fg=shade, bold=True) if colour else mark
        click.echo(f"{mark} {finding.check:<{width}}  {terminal.safe(finding.message)}", color=colour)
        if finding.advice:
            click.echo(f"  {'':<{width}}  → {terminal.safe(finding.advice)}", color=colour)
