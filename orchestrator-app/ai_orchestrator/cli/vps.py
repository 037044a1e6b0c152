"""`orchestrator vps`: this desktop's VPS, and, where that tier is installed, being one."""

from __future__ import annotations

import platform
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.advice import complete
from ai_orchestrator.cli.exits import FAILED, OK, UNREACHABLE
from ai_orchestrator.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from ai_orchestrator.vps_link.credentials import VpsCredential

GROUP = "orchestrator.vps_commands"
"""Entry points; each names a mapping like `COMMANDS` below. So no tier imports another."""

COMMANDS = {
    "enroll": ("ai_orchestrator.cli.vps:enroll", "Connect this desktop with a VPS."),
    "status": ("ai_orchestrator.cli.vps:status", "Say how the connection is doing."),
    "trust": ("ai_orchestrator.cli.vps:trust", "Compare the VPS's certificate again, after it was changed."),
    "leave": ("ai_orchestrator.cli.vps:leave", "End the enrolment, on both sides."),
}


def all_commands() -> dict[str, tuple[str, str]]:
    """Those of the desktop, and those of the VPS tier when it is installed."""
    commands = dict(COMMANDS)
    for point in entry_points(group=GROUP):
        commands.update(point.load())
    return commands


@click.group(cls=LazyGroup, commands_at=all_commands(), short_help="The VPS: enrol with one, or be one.")
def vps() -> None:
    """The VPS: enrol with one, or be one.

    \b
    orchestrator vps serve                                 on the VPS; prints a code
    orchestrator vps enroll https://vps.example.org CODE   at home, once
    """


@click.command(short_help="Connect this desktop with a VPS.")
@click.argument("url")
@click.argument("code")
@click.option(
    "--fingerprint", metavar="SHA256", help="Of the VPS's own certificate, as deploy_vps.sh printed it."
)
@click.option("--name", help="How this desktop is called in the VPS's list. [default: this machine's name]")
@click.option(
    "--insecure", is_flag=True, help="Plain http:// to this machine or a private network, for tests."
)
@settings_options
def enroll(
    url: str,
    code: str,
    fingerprint: str | None,
    name: str | None,
    insecure: bool,
    config: str | None,
    data: str | None,
) -> None:
    """Connect this desktop with a VPS: URL is its address, CODE what it printed.

    A running server connects within a second; no port is opened here.
    """
    from orchestrator_core.backup.making import replica_of

    from ai_orchestrator.cli.options import make_settings
    from ai_orchestrator.vps_link import credentials, enrolment

    settings = make_settings(config, data)
    credential = enrolment.enroll(
        url,
        code,
        name=name or platform.node() or "desktop",
        replica=replica_of(settings.data) or "",
        fingerprint=fingerprint,
        insecure=insecure,
        confirm=_confirm,
    )
    credentials.write(settings.data, credential)
    click.echo(f"Enrolled with {terminal.safe(credential.url)} as {terminal.safe(credential.desktop_id)}.")
    if credential.role != "source":
        terminal.note("Another desktop is the source of truth there; this one lends its model.")
    if _server_runs(settings.data):
        terminal.note(complete("The running server connects within a second: `orchestrator vps status`"))
    else:
        terminal.note(complete("Connected while the server runs: `orchestrator serve`"))


@click.command(short_help="Compare the VPS's certificate again, after it was changed.")
@click.option("--fingerprint", metavar="SHA256", help="Of the new certificate, as deploy_vps.sh printed it.")
@settings_options
def trust(fingerprint: str | None, config: str | None, data: str | None) -> int:
    """Compare the VPS's certificate again, after it was changed there: for one of Let's Encrypt, for example.

    The enrolment stays. A running server connects within a second.
    """
    from ai_orchestrator.cli.options import make_settings
    from ai_orchestrator.vps_link import credentials, enrolment

    settings = make_settings(config, data)
    credential = credentials.read(settings.data)
    if credential is None:
        click.echo("Not enrolled with a VPS.", err=True)
        return FAILED
    trusted = enrolment.trust(credential, fingerprint=fingerprint, confirm=_confirm)
    credentials.write(settings.data, trusted)
    whose = "its own, as compared" if trusted.certificate else "one that this system trusts"
    click.echo(f"The certificate of {terminal.safe(trusted.url)} is {whose}.")
    return OK


@click.command(short_help="Say how the connection is doing.")
@json_option
@settings_options
def status(as_json: bool, config: str | None, data: str | None) -> int:
    """Say how the connection is doing. Exit code 0: questions to the VPS reach this desktop."""
    from ai_orchestrator.cli.options import make_settings
    from ai_orchestrator.vps_link import credentials

    settings = make_settings(config, data)
    credential = credentials.read(settings.data)
    if credential is None:
        if as_json:
            terminal.write_json({"enrolled": False})
        else:
            click.echo(
                complete("Not enrolled with a VPS. To do so: `orchestrator vps enroll URL CODE`"), err=True
            )
        return FAILED
    shown = _status(settings.data, credential)
    if as_json:
        terminal.write_json(shown)
    else:
        terminal.write_table(
            ("VPS", ""), [(name, str(value)) for name, value in shown.items() if value not in ("", None)]
        )
    return OK if shown["link"] == "ready" else UNREACHABLE


@click.command(short_help="End the enrolment, on both sides.")
@click.option(
    "--force", is_flag=True, help="Also when the VPS cannot be told; revoke this desktop there then."
)
@settings_options
def leave(force: bool, config: str | None, data: str | None) -> int:
    """End the enrolment: the VPS refuses this desktop from now on, and the credential is deleted."""
    from orchestrator_core.errors import ApplicationError

    from ai_orchestrator.cli.options import make_settings
    from ai_orchestrator.vps_link import credentials, enrolment

    settings = make_settings(config, data)
    credential = None if force and _is_broken(settings.data) else credentials.read(settings.data)
    if credential is not None:
        try:
            enrolment.leave(credential)
        except ApplicationError as error:
            if not force:
                hint = f"{error.hint or ''} To forget the VPS all the same: --force".strip()
                raise error.with_hint(hint) from None
            terminal.note(f"The VPS was not told: {error.message}")
            terminal.note(f"Revoke it there: `sudo orchestrator-vps revoke {credential.desktop_id}`")
    elif not credentials.path(settings.data).exists():
        click.echo("Not enrolled with a VPS.", err=True)
        return FAILED
    credentials.delete(settings.data)
    click.echo("Left. A running server has ended the connection within a second.")
    return OK


def _confirm(shown: str) -> bool:
    """Ask a person, when there is one."""
    if not terminal.interactive():
        return False
    click.echo("The VPS shows a certificate that no authority vouches for. Its SHA-256 fingerprint is\n")
    click.echo(f"  {shown}\n")
    return click.confirm("Is it the one that deploy_vps.sh printed?", default=False)


def _status(data: Path, credential: VpsCredential) -> dict[str, Any]:
    from orchestrator_relay.identity.pinning import fingerprint

    from ai_orchestrator.vps_link import link_state

    link = link_state.read(data) if _server_runs(data) else link_state.LinkState("off", "no server runs here")
    return {
        "enrolled": True,
        "url": credential.url,
        "desktop": credential.desktop_id,
        "role": credential.role,
        "since": credential.enrolled_at,
        "link": link.phase,
        "why": complete(link.why),
        "notice": complete(link.notice) if link.notice != link.why else "",
        "changed": link.since,
        "seen from": link.address,
        "before from": link.before,
        "certificate": fingerprint(credential.certificate) if credential.certificate else "",
    }


def _server_runs(data: Path) -> bool:
    from ai_orchestrator import server_file
    from ai_orchestrator.cli.link.server import ServerLink

    address = server_file.read(data)
    if address is None:
        return False
    link = ServerLink(address.url)
    try:
        return link.answers()
    finally:
        link.close()


def _is_broken(data: Path) -> bool:
    from orchestrator_core.errors import ConfigurationError

    from ai_orchestrator.vps_link import credentials

    try:
        credentials.read(data)
    except ConfigurationError:
        return True
    return False
