"""`orchestrator mcp`: the memory for other programs' agents."""

from __future__ import annotations

import click
from orchestrator_core.command_options import settings_options

DEFAULT_PORT = 5001


@click.command(short_help="Offer the memory to other agents (MCP).")
@click.option("--http", is_flag=True, help="Listen on HTTP instead of standard input and output.")
@click.option("--host", help="With --http: address to listen on. [default: 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"With --http; 0: any free port. [default: {DEFAULT_PORT}]",
)
@settings_options
def mcp(http: bool, host: str | None, port: int | None, config: str | None, data: str | None) -> None:
    """Offer the handoff documents and conversations to other agents, by the Model Context Protocol.

    Started by the agent's program; any number may run at once, beside a server or without one.
    See docs/mcp.md for how common clients are told of it.

    With --http, an address other than loopback needs an API key (ORCHESTRATOR_API_KEY).
    """
    from ai_orchestrator.cli.options import make_settings

    if not http and (host is not None or port is not None):
        raise click.UsageError("--host and --port need --http.")
    overrides = {
        "server__host": host or "127.0.0.1",
        "server__port": DEFAULT_PORT if port is None else port,
    }
    settings = make_settings(config, data)
    _check_installed()
    from ai_orchestrator.mcp import transport

    if not http:
        transport.serve_stdio(settings)
        return
    settings = make_settings(config, data, **overrides)
    transport.serve_http(settings, say=lambda line: click.echo(line, err=True))


def _check_installed() -> None:
    """
    Raises:
        MissingExtra.
    """
    try:
        import mcp.server  # noqa: F401
    except ImportError as error:
        from orchestrator_core.errors import MissingExtra

        raise MissingExtra("mcp", "mcp", "`orchestrator mcp`") from error
