"""`orchestrator models activate`, `rollback` and `push`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from orchestrator_core.command_options import settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.advice import complete
from ai_orchestrator.cli.options import make_settings

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

force_option = click.option("--force", is_flag=True, help="Whatever the gate says of a trained model.")
vps_option = click.option("--vps", is_flag=True, help="On the VPS.")
CONFIGURED = "the model that the settings name"


@click.command(short_help="Answer with another model, without a restart.")
@click.argument("reference")
@force_option
@vps_option
@settings_options
def activate(reference: str, force: bool, vps: bool, config: str | None, data: str | None) -> None:
    """Answer with another model, without a restart. REFERENCE is name:version, or the name alone for its newest.

    Its hashes are checked, it is loaded and decodes some tokens before it answers; answers that run end on the
    former model. If anything fails, that one stays.
    """
    perform(make_settings(config, data), reference, force=force, vps=vps)


@click.command(short_help="Go back to the model before.")
@vps_option
@settings_options
def rollback(vps: bool, config: str | None, data: str | None) -> None:
    """Go back to the model before the last activation. Done twice it comes back again."""
    perform(make_settings(config, data), None, back=True, force=True, vps=vps)


@click.command(short_help="Send a model to the VPS, and have it answer with it.")
@click.argument("reference")
@click.option("--no-activate", is_flag=True, help="Only send it.")
@force_option
@settings_options
def push(reference: str, no_activate: bool, force: bool, config: str | None, data: str | None) -> None:
    """Send a model to the VPS, and have it answer with it after a self-test there. What arrived before a break is not
    sent again; the VPS keeps the version before.

    An adapter's base goes along, if it is not there yet.
    """
    from orchestrator_core.backends.registered import load_of
    from orchestrator_core.models.registry import Registry

    from ai_orchestrator.model_gate import check
    from ai_orchestrator.vps_link import pushing

    settings = make_settings(config, data)
    registry = Registry(settings.models_folder)
    version = registry.find(reference)
    base = load_of(settings, version).base_version
    versions = [version] if base is None else [base, version]
    if not force and not no_activate:
        check(None, version)
    with terminal.patience(f"Checking {version.reference}"):
        for each in versions:
            each.verify()
    with pushing.open_vps(settings) as server:
        with _progress(sum(each.manifest.size for each in versions), "Sending") as progress:
            pushing.push(server, versions, progress)
        if no_activate:
            click.echo(f"The VPS has {version.reference}.")
            return
        with terminal.patience("The VPS tries it"):
            known = pushing.activate(server, version.reference, force=True)
    _tell("The VPS", known)


def perform(
    settings: Settings, reference: str | None, *, force: bool = False, vps: bool = False, back: bool = False
) -> None:
    """Activate a version, or go back, where it answers: the VPS, the running server, or, where none runs, here.

    Raises:
        ApplicationError: it was not; what answered before answers on.
    """
    from ai_orchestrator.cli.link.server import running_server
    from ai_orchestrator.vps_link import pushing

    server = pushing.open_vps(settings) if vps else running_server(settings)
    if server is None:
        _tell("This machine", _here(settings, reference, force, back))
        return
    with server, terminal.patience("Trying it"):
        known = pushing.rollback(server) if back else pushing.activate(server, reference, force=force)
    _tell("The VPS" if vps else "The running server", known)


def _here(settings: Settings, reference: str | None, force: bool, back: bool) -> dict[str, Any]:
    """No server runs: the next one, and commands, find it."""
    from orchestrator_core.backends.activation import Activator

    from ai_orchestrator.model_gate import check

    activator = Activator(settings, gate=check)
    with terminal.patience("Trying it"):
        active = activator.activate(activator.previous() if back else reference, force=force)
    return {"active": active.reference, "previous": active.previous}


def _tell(who: str, known: dict[str, Any]) -> None:
    click.echo(
        f"{who} answers with {known['active'] or CONFIGURED} now (before: {known['previous'] or CONFIGURED})."
    )
    terminal.note(
        complete("To go back: `orchestrator models rollback`" + (" with --vps" if who == "The VPS" else ""))
    )


def _progress(total: int, text: str) -> Any:
    """A bar on stderr where a person watches; a context manager that gives what to call with bytes."""
    from contextlib import contextmanager

    @contextmanager
    def shown() -> Any:
        if not terminal.interactive():
            yield lambda count: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn(text), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(text, total=total)
            yield lambda count: bar.advance(task, count)

    return shown()
