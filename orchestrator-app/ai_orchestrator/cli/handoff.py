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
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command(short_help="End a session: log entry and briefing.")
@click.option("--cid", "conversation_id", metavar="ID", help="Of this conversation. [default: the latest]")
@click.option("--improve", is_flag=True, help="Let the model word the lines better; facts stay as they were.")
@click.option("-y", "--yes", is_flag=True, help="Store the draft without asking.")
@click.option(
    "--confirm", "file", metavar="FILE", help="Store this draft, as --json printed it and you changed it."
)
@model_options
@json_option
@settings_options
def handoff(
    conversation_id: str | None,
    improve: bool,
    yes: bool,
    file: str | None,
    model: str | None,
    as_json: bool,
    config: str | None,
    data: str | None,
) -> None:
    """End a session: a log entry and an updated briefing, made of its own sentences.

    Shows the draft and asks. Nothing is stored before you confirm; without a terminal, not
    without --yes. FILE may be - for standard input.
    """
    settings = make_settings(config, data, model__path=model)
    with _opened(settings, improve, model) as link:
        if file is not None:
            _tell(link.confirm_handoff(_confirmation(_read(file))), as_json)
            return
        chosen = conversation_id or link.latest()
        if chosen is None:
            raise click.UsageError("Nothing was said yet, so there is no session to end.")
        with terminal.patience("Drafting…"):
            draft = link.draft_handoff(chosen, improve)
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
    """The entry, and the briefing as a difference."""
    briefing = draft["briefing"]
    terminal.write(f"Entry for SESSION_LOG.md:\n\n{draft['entry'].rstrip()}\n\n")
    terminal.write(
        "Change of SESSION_BRIEFING.md:\n\n" if briefing["diff"] else "No change of SESSION_BRIEFING.md.\n"
    )
    for line in briefing["diff"].splitlines():
        colour = _COLOURS.get(line[:1]) if terminal.wants_colour() else None
        if colour is None:
            terminal.write(f"{line}\n")
        else:
            click.echo(click.style(terminal.safe(line), fg=colour))
    terminal.write("\n")
    for note in draft["notes"]:
        terminal.note(note)


def _opened(settings: Settings, improve: bool, model: str | None) -> AbstractContextManager[HandoffLink]:
    """With a model only where one is asked for: loading one takes long."""
    if improve:
        from ai_orchestrator.cli.link import open_link

        return open_link(settings, model_named=model is not None)
    from ai_orchestrator.cli.link.handoffs import open_handoffs

    return open_handoffs(settings)


def _edited(draft: dict[str, Any]) -> dict[str, Any]:
    """Both texts after they were shown in the editor, one after the other."""
    from orchestrator_core.handoff.briefing import unified_diff

    old = draft["briefing"]
    entry = click.edit(draft["entry"], extension="-entry.md")
    text = click.edit(old["text"], extension="-SESSION_BRIEFING.md")
    briefing = dict(old, text=old["text"] if text is None else text)
    briefing["diff"] = unified_diff(old["base_text"], briefing["text"], "SESSION_BRIEFING.md")
    return {**draft, "entry": draft["entry"] if entry is None else entry, "briefing": briefing}


def _confirmation(draft: Mapping[str, Any]) -> dict[str, Any]:
    """The body that confirms a draft. An entry that was emptied is not added to the log."""
    try:
        fields = {name: draft[name] for name in CONFIRMED_FIELDS}
        briefing = draft["briefing"]
        fields |= {"briefing": briefing["text"], "base_version": briefing["base_version"]}
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
    if done["briefing_version"]:
        merged = ", merged with what changed meanwhile" if done["merged"] else ""
        parts.append(f"SESSION_BRIEFING.md is version {done['briefing_version']}{merged}")
    terminal.note(f"Stored: {'; '.join(parts) or 'nothing but that this session is over'}.")
