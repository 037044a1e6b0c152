"""`orchestrator vps code`, `desktops`, `revoke`: who may dial in. Beside a running server or without."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from orchestrator_vps.cli.options import make_settings, settings_options


@click.command(short_help="Make a code that enrols one desktop.")
@settings_options
def code(config: str | None, data: str | None) -> None:
    """Print a code that enrols one desktop within the hour: at home, run

    orchestrator vps enroll https://THIS-HOST CODE
    """
    from orchestrator_vps.credentials import Credentials

    with Credentials(make_settings(config, data).data) as credentials:
        click.echo(credentials.new_code())


@click.command(short_help="List the enrolled desktops.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
@settings_options
def desktops(config: str | None, data: str | None, as_json: bool) -> None:
    """List the enrolled desktops; revoked ones last."""
    from orchestrator_vps.credentials import Credentials

    with Credentials(make_settings(config, data).data) as credentials:
        found = sorted(credentials.desktops(), key=lambda one: one.revoked_at is not None)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
        return
    if not found:
        click.echo("No desktop is enrolled. orchestrator vps code makes a code for one.", err=True)
    for one in found:
        state = f"revoked {one.revoked_at}" if one.revoked_at else f"last seen {one.seen_at or 'never'}"
        click.echo(f"{one.desktop_id}  {one.role:6}  {one.name}  ({state})")


@click.command(short_help="Refuse a desktop from now on.")
@click.argument("desktop_id", metavar="ID")
@settings_options
def revoke(desktop_id: str, config: str | None, data: str | None) -> None:
    """Refuse a desktop from now on; a running server ends its connection within two seconds."""
    from orchestrator_vps.credentials import Credentials

    with Credentials(make_settings(config, data).data) as credentials:
        desktop = credentials.revoke(desktop_id)
    click.echo(f"{desktop.name} may no longer connect.")
