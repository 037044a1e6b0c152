"""`orchestrator vps serve`: the VPS server."""

from __future__ import annotations

from typing import Any

import click
from orchestrator_core.command_options import server_options


@click.command(short_help="Start the VPS server.")
@server_options(8001, "builtin, or a GGUF file")
def serve(given: dict[str, Any]) -> None:
    """Start the VPS server: relay to the desktop, and its own model while the desktop is away.

    It always asks for an API key: ORCHESTRATOR_API_KEY, or one that is made at the first start and
    kept in the data folder. Ctrl-C ends it.
    """
    from orchestrator_vps.configuration import load_vps_settings

    settings = load_vps_settings(**given)

    try:
        from orchestrator_vps.serve import serve as run_server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("gunicorn", "simple_websocket", "wsproto"):
            raise
        from orchestrator_core.errors import MissingExtra

        raise MissingExtra(str(error.name), "vps", "The VPS server") from error
    run_server(settings)
