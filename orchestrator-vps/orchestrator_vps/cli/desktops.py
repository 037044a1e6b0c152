"""`orchestrator vps code`, `desktops`, `revoke`: who may dial in. Beside a running server or without."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from orchestrator_core.command_options import json_option, settings_arguments, settings_options

if TYPE_CHECKING:
    from orchestrator_vps.credentials import Credentials


@click.command(short_help="Make a code that enrols one desktop.")
@settings_options
def code(config: str | None, data: str | None) -> None:
    """Print a code that enrols one desktop within the hour: at home, run

    orchestrator vps enroll https://THIS-HOST CODE
    """
    with _credentials(config, data) as credentials:
        click.echo(credentials.new_code())


@click.command(short_help="List the enrolled desktops.")
@json_option
@settings_options
def desktops(config: str | None, data: str | None, as_json: bool) -> None:
    """List the enrolled desktops; revoked ones last."""
    with _credentials(config, data) as credentials:
        enrolled = sorted(credentials.desktops(), key=lambda desktop: desktop.revoked_at is not None)
        command = credentials.own_command("code")
    if as_json:
        click.echo(json.dumps([asdict(desktop) for desktop in enrolled]))
        return
    if not enrolled:
        click.echo(f"No desktop is enrolled. {command} makes a code for one.", err=True)
    for desktop in enrolled:
        state = (
            f"revoked {desktop.revoked_at}"
            if desktop.revoked_at
            else f"last seen {desktop.seen_at or 'never'}"
        )
        where = f" from {desktop.address}" if desktop.address else ""
        click.echo(f"{desktop.desktop_id}  {desktop.role:6}  {desktop.name}  ({state}{where})")
        if desktop.elsewhere:
            click.echo(f"  its credential was used from {desktop.elsewhere} too, {desktop.elsewhere_at}")


@click.command(short_help="Refuse a desktop from now on.")
@click.argument("desktop_id", metavar="ID")
@settings_options
def revoke(desktop_id: str, config: str | None, data: str | None) -> None:
    """Refuse a desktop from now on; a running server ends its connection within two seconds."""
    with _credentials(config, data) as credentials:
        desktop = credentials.revoke(desktop_id)
    click.echo(f"{desktop.name} may no longer connect.")


def _credentials(config: str | None, data: str | None) -> Credentials:
    from orchestrator_vps.configuration import load_vps_settings
    from orchestrator_vps.credentials import Credentials

    return Credentials(load_vps_settings(**settings_arguments(config, data)).data)
