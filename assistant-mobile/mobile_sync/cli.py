"""`orchestrator phone`: this machine as a phone of the household (a laptop, Termux): pair, chat, status, outbox."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from orchestrator_core.command_options import json_option, model_option, settings_arguments, settings_options

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

    from mobile_sync.client import PhoneClient

FOLDER = "phone"
"""In the data folder, where none is named: a server on this machine holds the folder itself."""

OWN_MODEL = "Model of this device, for when nobody can be reached: builtin or a small GGUF file"


@click.group(short_help="Use this machine as a phone of the household.")
def phone() -> None:
    """Use this machine as a phone: it finds the best way to an answer, keeps what is written offline, and reads offline.

    \b
    orchestrator phone pair 'http://192.168.1.20:5000/pair#…'   or the code that `orchestrator pair` shows
    orchestrator phone chat
    orchestrator phone chat "Where were we?"
    """


@phone.command(short_help="Join a household.")
@click.argument("link_or_code", required=False)
@click.option("--name", help="Of this device, for the owner's list. [default: its host name]")
@click.option(
    "--url", "urls", multiple=True, help="With a code: where the desktop is. [default: look around]"
)
@settings_options
def pair(
    link_or_code: str | None, name: str | None, urls: tuple[str, ...], config: str | None, data: str | None
) -> None:
    """Join the household whose desktop shows this link or code (`orchestrator pair` there).

    Without it you are asked: then it stands in no history and no list of processes.
    """
    import platform

    from mobile_sync.pairing import pair as join

    settings = _settings(config, data)
    link_or_code = link_or_code or click.prompt("Link or code", err=True)
    membership = join(link_or_code, settings.data, name or platform.node() or "phone", urls=urls)
    click.echo(f"Paired as {membership.device!r} with the household {membership.household.id}.")
    if membership.vps_url is None:
        click.echo("It has no VPS: away from home this device is on its own.")


@phone.command(short_help="Talk, by whatever road there is.")
@click.argument("message", nargs=-1)
@click.option("--cid", "conversation_id", metavar="ID", help="Conversation. [default: the default one]")
@model_option(OWN_MODEL)
@json_option
@settings_options
def chat(
    message: tuple[str, ...],
    conversation_id: str | None,
    model: str | None,
    as_json: bool,
    config: str | None,
    data: str | None,
) -> None:
    """Ask one question, or without one talk in the terminal. Who answered and why is told after each answer."""
    with _client(_settings(config, data, model), model) as client:
        from mobile_sync.terminal_app import TerminalApp, note, show

        text = " ".join(message)
        if not text:
            TerminalApp(client, conversation_id).run()
        elif as_json:
            _write_json(dict(client.chat(text, conversation_id)))
        else:
            show(client.stream(text, conversation_id), lambda part: click.echo(part, nl=False), note)


@phone.command(short_help="Which roads are there, and what waits.")
@json_option
@settings_options
def status(as_json: bool, config: str | None, data: str | None) -> None:
    """Knock at every road once and say which are there. What is shown as there answered just now."""
    with _client(_settings(config, data)) as client:
        client.household.roads.choose(others=True)
        known = client.status()
        if as_json:
            _write_json(known)
            return
        click.echo(f"household  {known['household']}")
        click.echo(f"device     {known['device']}")
        for road in known["roads"]:
            click.echo(f"road       {road['url']} ({'desktop' if road['way'] == 'lan' else 'VPS'})")
        if not known["roads"]:
            click.echo("road       none: offline")
        click.echo(f"waiting    {known['waiting']}")


@phone.command(short_help="Exchange the memory now, and deliver what waits.")
@settings_options
def sync(config: str | None, data: str | None) -> None:
    """Exchange the memory with the household and deliver what waits in the outbox."""
    with _client(_settings(config, data)) as client:
        report = client.sync()
        click.echo(f"{report.received} records received, {report.sent} sent.")
        client.flush()
        click.echo(f"{len(client.outbox.entries())} waiting.")


@phone.command(short_help="What was written and is not delivered yet.")
@click.option("--retry", metavar="ID", help="Send this entry again.")
@click.option("--delete", metavar="ID", help="Give this entry up. What was sent before may have arrived.")
@json_option
@settings_options
def outbox(
    retry: str | None, delete: str | None, as_json: bool, config: str | None, data: str | None
) -> None:
    """List the outbox: queued, sending, unclear, answered, refused. Needs no network and no pairing."""
    from mobile_sync.outbox import Outbox

    with Outbox(_settings(config, data).data / "outbox.db") as box:
        if retry is not None:
            box.retry(retry)
        if delete is not None:
            box.delete(delete)
        entries = box.entries()
    if as_json:
        _write_json([asdict(entry) for entry in entries])
        return
    for entry in entries:
        words = textwrap.shorten(entry.text, 60, placeholder="…")
        click.echo("\t".join([entry.entry_id, entry.state, entry.kind, entry.lane, words, entry.problem]))
    if not entries and sys.stdout.isatty():
        click.echo("Nothing waits.")


def _settings(config: str | None, data: str | None, model: str | None = None) -> Settings:
    from orchestrator_core.settings import load_settings

    settings = load_settings(**settings_arguments(config, data, model__path=model))
    if data is None:
        settings.data = settings.data / FOLDER
    return settings


@contextmanager
def _client(settings: Settings, model: str | None = None) -> Iterator[PhoneClient]:
    from mobile_sync.client import PhoneClient
    from mobile_sync.membership import Membership

    Membership.read(settings.data)
    with ExitStack() as opened:
        backend = _own_model(settings, model)
        lan = _discovery(settings, opened)
        yield opened.enter_context(PhoneClient(settings, backend=backend, lan=lan))


def _own_model(settings: Settings, model: str | None) -> Any:
    """The built-in model answers on a phone only when it is asked for by name."""
    from orchestrator_core.settings import BUILTIN_MODEL

    if model is None and settings.model.path == BUILTIN_MODEL and settings.model.url is None:
        return None
    from orchestrator_core.backends.factory import create_backend

    return create_backend(settings)


def _discovery(settings: Settings, opened: ExitStack) -> Any:
    """Looks for the desktop in this network, where the package for it is installed."""
    from mobile_sync.membership import Membership

    try:
        from mobile_sync.discovery import Discovery
    except ImportError:
        return tuple
    household = Membership.read(settings.data).household.id
    # Presence is the router's affair: nothing is probed by way of this.
    discovery = Discovery(household).start()
    opened.callback(discovery.close)
    return lambda: [candidate.url for candidate in discovery.candidates()]


def _write_json(value: Any) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write("\n")
