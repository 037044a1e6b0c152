"""`orchestrator vps serve`: the VPS server."""

from __future__ import annotations

import click

from orchestrator_vps.cli.options import make_settings, settings_options


@click.command(short_help="Start the VPS server.")
@click.option("--host", help="Address to listen on. [default: 127.0.0.1; env: ORCHESTRATOR_HOST]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="0: any free port. [default: 8001; env: ORCHESTRATOR_PORT]"
)
@click.option(
    "-m", "--model", metavar="MODEL", help="builtin, or a GGUF file. [env: ORCHESTRATOR_MODEL]"
)  # fmt: skip
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
    """Start the VPS server: relay to the desktop, and its own model while the desktop is away.

    It always asks for an API key: ORCHESTRATOR_API_KEY, or one that is made at the first start and
    kept in the data folder. Ctrl-C ends it.
    """
    settings = make_settings(
        config, data, server__host=host, server__port=port, model__path=model, log__level=log_level
    )

    try:
        from orchestrator_vps.serve import serve as run_server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("gunicorn", "simple_websocket", "wsproto"):
            raise
        from orchestrator_core.errors import MissingExtra

        raise MissingExtra(str(error.name), "vps", "The VPS server") from error
    run_server(settings)
