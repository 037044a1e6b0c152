"""`orchestrator serve`: the desktop server."""

from __future__ import annotations

import click
from orchestrator_core.command_options import address_options, log_level_option, settings_options

from ai_orchestrator.cli.options import model_options


@click.command(short_help="Start the desktop server.")
@address_options(5000)
@model_options
@log_level_option()
@settings_options
def serve(
    host: str | None,
    port: int | None,
    model: str | None,
    log_level: str | None,
    config: str | None,
    data: str | None,
) -> None:
    """Start the desktop server: HTTP API and chat page. Ctrl-C ends it.

    An address other than loopback needs an API key (ORCHESTRATOR_API_KEY).
    """
    from ai_orchestrator.cli.options import make_settings

    settings = make_settings(
        config, data, server__host=host, server__port=port, model__path=model, log__level=log_level
    )

    from ai_orchestrator.server import serve as run_server

    run_server(settings)
