"""`orchestrator serve`: the desktop server."""

from __future__ import annotations

from typing import Any

import click
from orchestrator_core.command_options import server_options

from ai_orchestrator.cli.options import MODELS


@click.command(short_help="Start the desktop server.")
@server_options(5000, MODELS)
def serve(given: dict[str, Any]) -> None:
    """Start the desktop server: HTTP API and chat page. Ctrl-C ends it.

    An address other than loopback needs an API key (ORCHESTRATOR_API_KEY).
    """
    from orchestrator_core.settings import load_settings

    settings = load_settings(**given)

    from ai_orchestrator.server import serve as run_server

    run_server(settings)
