"""`orchestrator serve`: the desktop server."""

from __future__ import annotations

import click

from ai_orchestrator.cli.options import model_options, settings_options


@click.command(short_help="Start the desktop server.")
@click.option("--host", help="Address to listen on. [default: 127.0.0.1; env: ORCHESTRATOR_HOST]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="0: any free port. [default: 5000; env: ORCHESTRATOR_PORT]"
)
@model_options
@click.option(
    "--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    metavar="[DEBUG|INFO|WARNING|ERROR]", help="[default: INFO; env: ORCHESTRATOR_LOG_LEVEL]",
)  # fmt: skip
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
