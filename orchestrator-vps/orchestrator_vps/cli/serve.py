"""`orchestrator vps serve`: the VPS server."""

from __future__ import annotations

import click
from orchestrator_core.command_options import (
    address_options,
    log_level_option,
    settings_arguments,
    settings_options,
)


@click.command(short_help="Start the VPS server.")
@address_options(8001)
@click.option("-m", "--model", metavar="MODEL", help="builtin, or a GGUF file. [env: ORCHESTRATOR_MODEL]")
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
    """Start the VPS server: relay to the desktop, and its own model while the desktop is away.

    It always asks for an API key: ORCHESTRATOR_API_KEY, or one that is made at the first start and
    kept in the data folder. Ctrl-C ends it.
    """
    from orchestrator_vps.configuration import load_vps_settings

    given = settings_arguments(
        config, data, server__host=host, server__port=port, model__path=model, log__level=log_level
    )
    settings = load_vps_settings(**given)

    try:
        from orchestrator_vps.serve import serve as run_server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("gunicorn", "simple_websocket", "wsproto"):
            raise
        from orchestrator_core.errors import MissingExtra

        raise MissingExtra(str(error.name), "vps", "The VPS server") from error
    run_server(settings)
