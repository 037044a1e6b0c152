"""`orchestrator pair`: let a phone in."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.exits import FAILED, OK, UNREACHABLE

if TYPE_CHECKING:
    from ai_orchestrator.cli.link.server import ServerLink

POLL_S = 1.0


@click.command(short_help="Let a phone or another device in.")
@json_option
@settings_options
def pair(as_json: bool, config: str | None, data: str | None) -> int:
    """Show a QR code and a code to type, and wait for the device that uses one.

    Either is good for one device and ten minutes. Ctrl-C ends it.
    """
    from ai_orchestrator.cli.link.server import running_server
    from ai_orchestrator.cli.options import make_settings

    settings = make_settings(config, data)
    link = running_server(settings)
    if link is None:
        click.echo("No server runs here. Start it: `orchestrator serve --host '*'`", err=True)
        return UNREACHABLE
    with contextlib.closing(link):
        try:
            begun = link.call("POST", "/pairing")
            if as_json:
                terminal.write_json(
                    {name: begun[name] for name in ("code", "link", "urls", "vps", "valid_until")}
                )
            else:
                _show(begun)
            state = _wait(link)
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                link.call("DELETE", "/pairing")
            raise
    return _tell(state, as_json)


def _show(begun: dict[str, Any]) -> None:
    from ai_orchestrator.pairing.qr import terminal_lines

    lines = terminal_lines(begun["link"], colour=terminal.wants_colour())
    wide = max((len(line) for line in terminal_lines(begun["link"], colour=False)), default=0)
    fits = wide <= shutil.get_terminal_size().columns
    if terminal.has_terminal() and fits and _can_draw():
        click.echo("\n".join(lines))
    else:
        terminal.note(
            "The QR code does not fit here; it is also on the page /pair of the desktop, or use the link:"
        )
        click.echo(begun["link"])
    click.echo(f"\nScan it with the phone, or type there:  {begun['code']}\n")
    for url in [*begun["urls"], *([begun["vps"]] if begun["vps"] else [])]:
        terminal.note(f"This desktop answers at {url}")
    if not begun["urls"]:
        terminal.note("It listens on this machine only: the phone is let in through the VPS.")
    terminal.note("Waiting for the device; ten minutes. Ctrl-C ends it.")


def _wait(link: ServerLink) -> dict[str, Any]:
    """The last state: someone was let in, or nobody can be any more."""
    wrong = 0
    while True:
        state: dict[str, Any] = link.call("GET", "/pairing")
        if state["wrong"] > wrong:
            wrong = state["wrong"]
            terminal.note(f"A wrong code was tried ({wrong} of 10).")
        if state["state"] != "waiting":
            return state
        time.sleep(POLL_S)


def _tell(state: dict[str, Any], as_json: bool) -> int:
    if as_json:
        terminal.write_json(state)
    elif state["state"] == "paired":
        click.echo(f"Paired: {terminal.safe(state['name'])} ({terminal.safe(state['kind'])})")
        terminal.note(f"If that is not your device: `orchestrator devices revoke {state['device']}`")
    else:
        click.echo(f"{_ENDINGS[state['state']]} For a new one: `orchestrator pair`", err=True)
    return OK if state["state"] == "paired" else FAILED


def _can_draw() -> bool:
    try:
        "▀▄█".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


_ENDINGS = {
    "locked": "Somebody tried ten wrong codes; this one is locked.",
    "expired": "Nobody used the code within ten minutes.",
    "cancelled": "The pairing was ended elsewhere: there is a newer code, or it was cancelled.",
}
