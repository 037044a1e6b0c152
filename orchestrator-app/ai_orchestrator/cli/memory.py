"""`orchestrator memory`: the to-dos, open questions, decisions and lasting facts of the handoff documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click
from orchestrator_core.backup.making import archives_of, default_target, replica_of
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.documents import Documents, Fields, open_documents
from ai_orchestrator.cli.options import make_settings

HEADINGS = {
    "owner": "About the owner",
    "decisions": "Decisions",
    "facts": "Facts",
    "now": "Now",
    "next": "To do",
    "questions": "Open questions",
}


@click.group(short_help="To-dos, decisions, facts: list, edit, forget.")
def memory() -> None:
    """To-dos, decisions, facts: list, edit, forget.

    An item is a line of a handoff document. Edit the documents with any editor as well.
    """


def _item_command(function: Callable[..., None]) -> Callable[..., None]:
    project = click.option("--project", help="Whose documents. [default: the active project's]")
    return project(json_option(settings_options(function)))


@memory.command("list", short_help="All items, with their ids.")
@click.option("--state", type=click.Choice(["open", "done", "superseded"]), help="Only these.")
@_item_command
def list_items(
    state: str | None, project: str | None, as_json: bool, config: str | None, data: str | None
) -> None:
    """All items, from what lasts to what is next."""
    with _documents(config, data, project) as documents:
        items = documents.items(state)
    if as_json:
        terminal.write_json(items)
        return
    section = ""
    for item in items:
        if item["section"] != section:
            section = item["section"]
            terminal.write(f"{HEADINGS[section]}\n")
        terminal.write(f"  {item['item_id']}  {_words(item)}\n")
    if not items:
        terminal.note("There are no items yet. `orchestrator handoff` proposes some at the end of a session.")


@memory.command(short_help="Reword an item.")
@click.argument("item_id")
@click.argument("text")
@_item_command
def edit(
    item_id: str, text: str, project: str | None, as_json: bool, config: str | None, data: str | None
) -> None:
    """Reword an item; its origin stays."""
    with _documents(config, data, project) as documents:
        _tell("Changed", documents.reword_item(item_id, text), as_json)


@memory.command(short_help="Close a to-do or question.")
@click.argument("item_id")
@_item_command
def done(item_id: str, project: str | None, as_json: bool, config: str | None, data: str | None) -> None:
    """Close a to-do or question that was settled."""
    _settle("done", item_id, project, as_json, config, data)


@memory.command(short_help="Drop an item that holds no more.")
@click.argument("item_id")
@_item_command
def drop(item_id: str, project: str | None, as_json: bool, config: str | None, data: str | None) -> None:
    """Drop a to-do or question; strike a decision or fact, with today's date."""
    _settle("dropped", item_id, project, as_json, config, data)


@memory.command(short_help="Remove an item as if it had never been noted.")
@click.argument("item_id")
@click.option("--history", is_flag=True, help="Rewrite the history of the documents too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_item_command
def forget(
    item_id: str,
    history: bool,
    yes: bool,
    project: str | None,
    as_json: bool,
    config: str | None,
    data: str | None,
) -> None:
    """Remove an item from the documents and the log, and the message that it came from with the answers to it.

    The documents' history keeps earlier versions, and says so; --history takes it out of them as well.
    """
    settings = make_settings(config, data)
    with _documents(config, data, project) as documents:
        if not yes:
            items = [item for item in documents.items() if item["item_id"] == item_id]
            for item in items:
                click.confirm(f"Forget {_words(item)!r}, and the message it came from?", abort=True, err=True)
        forgotten = documents.forget_item(item_id, history)
    if as_json:
        terminal.write_json(forgotten)
        return
    _tell("Forgotten", forgotten["item"], as_json)
    if not history:
        terminal.note("The documents' history keeps earlier versions of the line: --history rewrites it.")
    _tell_archives(default_target(settings.data), replica_of(settings.data))


def _tell_archives(folder: Path, replica: str | None) -> None:
    """Backups are never changed: which of them were made before."""
    archives = archives_of(folder, replica) if folder.is_dir() else []
    if archives:
        names = "".join(f"\n  {terminal.safe(str(path))}" for path in archives)
        terminal.note(f"Backups may hold it still; delete them yourself:{names}")


def _settle(
    outcome: Literal["done", "dropped"],
    item_id: str,
    project: str | None,
    as_json: bool,
    config: str | None,
    data: str | None,
) -> None:
    with _documents(config, data, project) as documents:
        _tell(outcome.capitalize(), documents.settle_item(item_id, outcome), as_json)


@contextmanager
def _documents(config: str | None, data: str | None, project: str | None) -> Iterator[Documents]:
    with open_documents(make_settings(config, data)) as documents:
        if project is not None:
            documents.choose(project)
        yield documents


def _words(item: Fields) -> str:
    due = f" (due {item['due']})" if item["due"] else ""
    state = "" if item["state"] == "open" else f" [{item['state']}]"
    return f"{terminal.safe(item['text'])}{due}{state}"


def _tell(done_what: str, item: Any, as_json: bool) -> None:
    if as_json:
        terminal.write_json(item)
    else:
        terminal.note(f"{done_what}: {_words(item)}")
