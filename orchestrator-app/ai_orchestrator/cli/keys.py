"""`orchestrator keys`: API keys for scripts and OpenAI clients. Beside a running server or without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.options import make_settings

if TYPE_CHECKING:
    from orchestrator_http.access.store import Access

SCOPES = ("ask", "memory", "admin")


@click.group(short_help="API keys for scripts: add, list, revoke.")
def keys() -> None:
    """API keys for scripts: add, list, revoke.

    A named key is for loopback and TLS. Phones need none: `orchestrator pair`.
    """


@keys.command(short_help="Make a key.")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    help="What it is for: asking models, the memory, devices and keys; several may be given. [default: ask]",
)
@settings_options
def add(name: str, scopes: tuple[str, ...], config: str | None, data: str | None) -> None:
    """Make a key and print it, this once."""
    with _access(config, data) as access:
        key, secret = access.add_key(name, scopes or ("ask",))
    terminal.note(f"The key {terminal.safe(key.name)} ({' '.join(key.scopes)}); it is not shown again:")
    click.echo(secret)


@keys.command("list", short_help="The keys, without their secrets.")
@json_option
@settings_options
def list_keys(as_json: bool, config: str | None, data: str | None) -> None:
    """The keys, without their secrets; and server.api_key, when it is set, as the one called settings."""
    from dataclasses import asdict

    with _access(config, data) as access:
        listed = [asdict(key) for key in access.api_keys()]
    if make_settings(config, data).server.api_key is not None:
        of_settings = {"id": "settings", "name": "server.api_key", "scopes": SCOPES}
        listed.insert(0, {**of_settings, "created_at": None, "last_used_at": None, "revoked_at": None})
    if as_json:
        terminal.write_json(listed)
        return
    for key in listed:
        used = f"last used {key['last_used_at'][:16]}Z" if key["last_used_at"] else "no use noted"
        state = f"revoked {key['revoked_at'][:16]}Z" if key["revoked_at"] else used
        terminal.write(f"{key['id']}  {terminal.safe(key['name'])} ({' '.join(key['scopes'])}; {state})\n")
    if not listed:
        terminal.note("There are no keys. `orchestrator keys add NAME` makes one.")


@keys.command(short_help="Refuse a key from now on.")
@click.argument("key", metavar="NAME_OR_ID")
@settings_options
def revoke(key: str, config: str | None, data: str | None) -> None:
    """Refuse a key from now on; a running server does so with the next request."""
    with _access(config, data) as access:
        revoked = access.revoke_key(key)
    click.echo(f"The key {terminal.safe(revoked.name)} is no longer valid.")


@keys.command(short_help="Pairings, refusals, revocations: what happened at the door.")
@click.option("-n", "--limit", type=click.IntRange(1, 5000), default=50, show_default=True)
@json_option
@settings_options
def log(limit: int, as_json: bool, config: str | None, data: str | None) -> None:
    """Pairings, refusals and revocations of this tier, the latest first."""
    from dataclasses import asdict

    with _access(config, data) as access:
        events = [asdict(event) for event in access.events(limit)]
    if as_json:
        terminal.write_json(events)
        return
    for event in events:
        parts = [event["subject"], event["address"], event["detail"]]
        words = terminal.safe("  ".join(part for part in parts if part))
        terminal.write(f"{event['at'][:19]}Z  {event['what']}  {words}\n")


@contextmanager
def _access(config: str | None, data: str | None) -> Iterator[Access]:
    from orchestrator_http.access.store import Access

    access = Access(make_settings(config, data).data)
    try:
        yield access
    finally:
        access.close()
