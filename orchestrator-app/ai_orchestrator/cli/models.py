"""`orchestrator models`: what can answer."""

from __future__ import annotations

from dataclasses import asdict

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.options import model_options


@click.command(short_help="List the models that can answer.")
@model_options
@json_option
@settings_options
def models(model: str | None, as_json: bool, config: str | None, data: str | None) -> None:
    """List the configured model (marked *), the built-in one, and the models folder.

    Put GGUF files into `models` in the data folder, or name any path with -m.
    """
    from ai_orchestrator.cli.options import make_settings
    from ai_orchestrator.known_models import known_models

    settings = make_settings(config, data, model__path=model)
    models = known_models(settings)
    if as_json:
        terminal.write_json([asdict(model) for model in models])
        return
    rows = [
        (
            f"{'*' if model.active else ' '} {model.name}",
            model.backend or "-",
            f"{model.size_bytes / 1e6:,.1f} MB" if model.size_bytes is not None else "-",
            model.problem or model.path or model.source,
        )
        for model in models
    ]
    terminal.write_table(("model", "backend", "size", "where"), rows)
