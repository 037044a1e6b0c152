"""`orchestrator devices`: who is paired, under which name, and who no longer is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.options import make_settings

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings
    from shared_context.devices.registry import Devices


@click.group(short_help="Paired devices: list, rename, revoke.")
def devices() -> None:
    """Paired devices: list, rename, revoke."""


@devices.command("list", short_help="The paired devices, the latest first.")
@json_option
@settings_options
def list_devices(as_json: bool, config: str | None, data: str | None) -> None:
    """The paired devices, the latest first; revoked ones too."""
    listed = _ask(
        make_settings(config, data),
        lambda link: link.call("GET", "/devices")["devices"],
        lambda registry: [_fields(device) for device in registry.list()],
    )
    if as_json:
        terminal.write_json(listed)
        return
    for device in listed:
        seen = (
            f"last seen {device['last_seen_at'][:16]}Z by {device['last_seen_by']}"
            if device["last_seen_at"]
            else "not seen yet"
        )
        state = f"revoked {device['revoked_at'][:16]}Z" if device["revoked_at"] else seen
        scopes = " ".join(device["scopes"])
        terminal.write(
            f"{device['id']}  {terminal.safe(device['name'])} ({device['kind']}; {scopes}; {state})\n"
        )
    if not listed:
        terminal.note("No device is paired yet: `orchestrator pair`")


@devices.command(short_help="Give a device another name.")
@click.argument("device_id", metavar="ID")
@click.argument("name")
@settings_options
def rename(device_id: str, name: str, config: str | None, data: str | None) -> None:
    """Give a device another name; everywhere."""
    device = _ask(
        make_settings(config, data),
        lambda link: link.call("PATCH", f"/devices/{device_id}", body={"name": name}),
        lambda registry: _fields(registry.rename(device_id, name)),
    )
    click.echo(f"{device['id']} is {terminal.safe(device['name'])} now.")


@devices.command(short_help="Refuse a device from now on.")
@click.argument("device_id", metavar="ID")
@settings_options
def revoke(device_id: str, config: str | None, data: str | None) -> None:
    """Refuse a device from now on: here and on a connected VPS at once, elsewhere with the next exchange. It cannot be undone; a device that
    shall come back is paired anew, with a new key."""
    device = _ask(
        make_settings(config, data),
        lambda link: link.call("DELETE", f"/devices/{device_id}"),
        lambda registry: _fields(registry.revoke(device_id)),
    )
    click.echo(f"{terminal.safe(device['name'])} may no longer ask.")


def _ask(settings: Settings, of_server: Callable[[Any], Any], of_registry: Callable[[Devices], Any]) -> Any:
    """By the running server, which tells the other tiers at once; else in the data folder."""
    from ai_orchestrator.cli.link.server import running_server

    link = running_server(settings)
    if link is not None:
        try:
            return of_server(link)
        finally:
            link.close()
    from orchestrator_core.assistant.data_folder import DataFolder
    from orchestrator_http.access.household import Household
    from shared_context.conversations.store import ConversationStore

    folder = DataFolder(settings.data)
    try:
        with ConversationStore.open(folder.conversations) as store:
            return of_registry(Household(settings.data, store, "desktop").devices)
    finally:
        folder.release()


def _fields(device: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(device)
