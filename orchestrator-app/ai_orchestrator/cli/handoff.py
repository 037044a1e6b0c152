"""`orchestrator handoff`: end a session. Shared with the REPL's `/handoff`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.advice import complete
from ai_orchestrator.cli.options import make_settings, model_options

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

    from ai_orchestrator.cli.link.handoffs import HandoffLink

CONFIRMED_FIELDS = ("conversation_id", "entry_id", "sources", "entry")
EDITED_FIELDS = ("name", "text", "base_version")
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command(short_help="End a session: log entry and handoff documents.")
@click.option("--cid", "conversation_id", metavar="ID", help="Of this conversation. [default: the latest]")
@click.option("--no-model", is_flag=True, help="Read explicit markers only; ask no model.")
@click.option("-y", "--yes", is_flag=True, help="Store the draft without asking.")
@click.option(
    "--confirm", "file", metavar="FILE", help="Store this draft, as --json printed it and you changed it."
)
@model_options
@json_option
@settings_options
def handoff(
    conversation_id: str | None,
    no_model: bool,
    yes: bool,
    file: str | None,
    model: str | None,
    as_json: bool,
    config: str | None,
    data: str | None,
) -> None:
    """End a session: a log entry, and what lasts in the handoff documents, each with its proof.

    Shows the draft and asks. Nothing is stored before you confirm; without a terminal, not
    without --yes. FILE may be - for standard input.
    """
    settings = make_settings(config, data, model__path=model)
    with _opened(settings, model) as link:
        if file is not None:
            _tell(link.confirm_handoff(_confirmation(_read(file))), as_json)
            return
        chosen = conversation_id or link.latest()
        if chosen is None:
            raise click.UsageError("Nothing was said yet, so there is no session to end.")
        with terminal.patience("Drafting…"):
            draft = link.draft_handoff(chosen, not no_model)
        if yes:
            _tell(link.confirm_handoff(_confirmation(draft)), as_json)
        elif as_json:
            terminal.write_json(draft)
        else:
            ask_and_store(link, draft)


def ask_and_store(link: HandoffLink, draft: dict[str, Any]) -> bool:
    """Show a draft, let a person edit it, store it when confirmed; returns whether it was.

    Without a terminal it is only shown.
    """
    show(draft)
    if not terminal.interactive():
        terminal.note(complete("Nothing was stored. `orchestrator handoff --yes` stores the draft."))
        return False
    while True:
        answer = click.prompt(
            "Store this?",
            type=click.Choice(["yes", "edit", "no"], case_sensitive=False),
            default="yes",
            err=True,
        )
        if answer == "no":
            terminal.note("Nothing was stored.")
            return False
        if answer == "yes":
            _tell(link.confirm_handoff(_confirmation(draft)), as_json=False)
            return True
        draft = _edited(draft)
        show(draft)


def show(draft: Mapping[str, Any]) -> None:
    """The entry, and the documents as differences."""
    terminal.write(f"Entry for SESSION_LOG.md:\n\n{draft['entry'].rstrip()}\n\n")
    for document in draft["documents"]:
        if document["diff"]:
            terminal.write(f"Change of {document['name']}:\n\n")
            _show_diff(document["diff"])
            terminal.write("\n")
    for note in draft["notes"]:
        terminal.note(note)


def _show_diff(diff: str) -> None:
    for line in diff.splitlines():
        colour = _COLOURS.get(line[:1]) if terminal.wants_colour() else None
        if colour is None:
            terminal.write(f"{line}\n")
        else:
            click.echo(click.style(terminal.safe(line), fg=colour))


def _opened(settings: Settings, model: str | None) -> AbstractContextManager[HandoffLink]:
    """With a model of this process only where one is named: loading one takes long."""
    if model is not None:
        from ai_orchestrator.cli.link import open_link

        return open_link(settings, model_named=model is not None)
    from ai_orchestrator.cli.link.handoffs import open_handoffs

    return open_handoffs(settings)


def _edited(draft: dict[str, Any]) -> dict[str, Any]:
    """The texts after they were shown in the editor, one after the other."""
    entry = click.edit(draft["entry"], extension="-entry.md")
    documents = [_edited_document(old) if old["diff"] else old for old in draft["documents"]]
    return {**draft, "entry": draft["entry"] if entry is None else entry, "documents": documents}


def _edited_document(old: Mapping[str, Any]) -> dict[str, Any]:
    from orchestrator_core.handoff.placement import document_diff

    text = click.edit(old["text"], extension=f"-{old['name']}") or old["text"]
    return {**old, "text": text, "diff": document_diff(old["base_text"], text, old["name"])}


def _confirmation(draft: Mapping[str, Any]) -> dict[str, Any]:
    """The body that confirms a draft. An entry that was emptied is not added to the log."""
    try:
        fields = {name: draft[name] for name in CONFIRMED_FIELDS}
        fields["documents"] = [
            {name: document[name] for name in EDITED_FIELDS}
            for document in draft["documents"]
            if document["text"] != document["base_text"]
        ]
    except (KeyError, TypeError) as error:
        raise click.UsageError(f"This is not a draft as --json prints it: {error} is missing.") from None
    if isinstance(fields["entry"], str) and not fields["entry"].strip():
        fields["entry"] = None
    return fields


def _read(file: str) -> Any:
    """
    Raises:
        click.UsageError: there is no JSON to read.
    """
    try:
        text = (terminal.piped_input() or "") if file == "-" else Path(file).read_text("utf-8")
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file} cannot be read as a draft: {error}") from None


def _tell(done: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        terminal.write_json(done)
        return
    if done["repeated"]:
        terminal.note("This session was handed off before; nothing was changed.")
        return
    parts = []
    if done["log_version"]:
        parts.append(f"entry {done['entry_id']} is in SESSION_LOG.md")
    for name, version in done["versions"].items():
        merged = ", merged with what changed meanwhile" if name in done["merged"] else ""
        parts.append(f"{name} is version {version}{merged}")
    terminal.note(f"Stored: {'; '.join(parts) or 'nothing but that this session is over'}.")
