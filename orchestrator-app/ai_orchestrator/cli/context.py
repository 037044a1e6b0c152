"""`orchestrator context`: the handoff documents."""

from __future__ import annotations

from typing import Any

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.options import make_settings, model_options

SHORT_NAMES = {
    "portfolio": "PORTFOLIO_CONTEXT.md",
    "project": "PROJECT_CONTEXT.md",
    "briefing": "SESSION_BRIEFING.md",
    "log": "SESSION_LOG.md",
}
"""What may be typed instead of a document's name."""


class DocumentName(click.ParamType[str]):
    name = "document"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        name = SHORT_NAMES.get(text.lower(), text)
        if name not in SHORT_NAMES.values():
            known = ", ".join(f"{short} ({full})" for short, full in SHORT_NAMES.items())
            self.fail(f"{text!r} is no handoff document; there are {known}.", param, ctx)
        return name


DOCUMENT = DocumentName()


@click.group(short_help="Read and edit the handoff documents.")
def context() -> None:
    """Read and edit the handoff documents.

    DOCUMENT is portfolio, project, briefing or log, or the file's name.
    """


@context.command("list")
@json_option
@settings_options
def list_documents(as_json: bool, config: str | None, data: str | None) -> None:
    """The documents and their versions."""
    with _open(config, data) as documents:
        index = documents.index()
    if as_json:
        terminal.write_json(index)
        return
    rows = [
        (
            document["name"],
            document["version"],
            document["updated_at"][:16],
            document["author"],
            document["conflicts"] or "",
        )
        for document in index["documents"]
    ]
    terminal.write_table(("document", "version", "changed (UTC)", "by", "conflicts"), rows)
    for problem in index.get("problems", []):
        terminal.note(f"Note: {problem}")


@context.command()
@click.argument("document", type=DOCUMENT)
@click.option("--at", "version", metavar="VERSION", help="As it was in this version.")
@json_option
@settings_options
def show(document: str, version: str | None, as_json: bool, config: str | None, data: str | None) -> None:
    """Print a document."""
    with _open(config, data) as documents:
        if version is None:
            content = documents.show(document)
        else:
            content = {"name": document, "version": version, "text": documents.text_at(document, version)}
    if as_json:
        terminal.write_json(content)
    else:
        terminal.write(content["text"])


@context.command()
@click.argument("document", type=DOCUMENT)
@settings_options
def edit(document: str, config: str | None, data: str | None) -> None:
    """Edit a document in $VISUAL or $EDITOR, or replace it with standard input.

    What others change meanwhile is merged, not lost.
    """
    with _open(config, data) as documents:
        before = documents.show(document)
    # Others may use the documents while a person writes.
    text = terminal.piped_input()
    if text is None:
        text = _in_editor(before["text"], document)
    elif not text.strip():
        # A script whose command failed pipes nothing; that must not empty a document.
        raise click.UsageError("Standard input is empty; the document stays as it is.")
    if text is None or text == before["text"]:
        terminal.note("Nothing changed.")
        return
    with _open(config, data) as documents:
        after = documents.edit(document, text, before["version"])
    merged = "" if after["text"] == text else ", merged with what others changed meanwhile"
    terminal.note(f"{document} is now version {after['version']}{merged}.")


@context.command()
@click.argument("text", nargs=-1)
@json_option
@settings_options
def append(text: tuple[str, ...], as_json: bool, config: str | None, data: str | None) -> None:
    """Add an entry to the session log: TEXT, or standard input."""
    entry = " ".join(text) if text else (terminal.piped_input() or "")
    if not entry.strip():
        raise click.UsageError("There is no text. Give it as an argument or pipe it in.")
    with _open(config, data) as documents:
        appended = documents.append(entry)
    if as_json:
        terminal.write_json(appended)
    else:
        terminal.note(f"Added to {appended['name']}, entry {appended['entry_id']}.")


@context.command()
@click.argument("document", type=DOCUMENT)
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
@settings_options
def history(document: str, limit: int, as_json: bool, config: str | None, data: str | None) -> None:
    """The versions of a document, newest first."""
    with _open(config, data) as documents:
        versions = documents.history(document, limit)
    if as_json:
        terminal.write_json({"versions": versions})
        return
    rows = [
        (version["version"], version["at"][:16], version["author"], version["summary"])
        for version in versions
    ]
    terminal.write_table(("version", "at (UTC)", "by", "summary"), rows)


@context.command()
@click.argument("document", type=DOCUMENT)
@click.argument("old", required=False)
@click.argument("new", required=False)
@settings_options
def diff(document: str, old: str | None, new: str | None, config: str | None, data: str | None) -> None:
    """What changed between two versions; default: the last one and the one before it."""
    from shared_context.documents.line_diff import split_lines, unified_diff

    with _open(config, data) as documents:
        if old is None:
            versions = [version["version"] for version in documents.history(document, 2)]
            if len(versions) < 2:
                terminal.note(f"{document} has one version only.")
                return
            old = versions[1]
        before = documents.text_at(document, old)
        after = documents.text_at(document, new) if new else documents.show(document)["text"]
    old_lines, new_lines = (split_lines(text.removesuffix("\n")) for text in (before, after))
    changes = unified_diff(old_lines, new_lines, f"{document} {old}", f"{document} {new or 'now'}")
    for line in split_lines(changes.removesuffix("\n")):
        _write_diff_line(line)


@context.command()
@click.argument("document", type=DOCUMENT)
@click.argument("version")
@settings_options
def restore(document: str, version: str, config: str | None, data: str | None) -> None:
    """Make an earlier version the present one. It is a new edit; nothing is lost."""
    with _open(config, data) as documents:
        restored = documents.restore(document, version)
    terminal.note(f"{document} is now version {restored['version']}.")


@context.command()
@click.option("--resolve", "conflict_id", metavar="ID", help="Put standard input in the place of both texts.")
@json_option
@settings_options
def conflicts(conflict_id: str | None, as_json: bool, config: str | None, data: str | None) -> None:
    """Places that two devices changed at once; both texts are kept until one is chosen."""
    with _open(config, data) as documents:
        if conflict_id is not None:
            text = terminal.piped_input()
            if text is None:
                raise click.UsageError("Pipe in the text that shall stand there.")
            resolved = documents.resolve(conflict_id, text.removesuffix("\n"))
            terminal.note(f"{resolved['name']} is now version {resolved['version']}.")
            return
        listed = documents.conflicts()
    if as_json:
        terminal.write_json({"conflicts": listed})
        return
    if not listed:
        terminal.note("There are no conflicts.")
    for conflict in listed:
        terminal.write(f"{conflict['conflict_id']}  {conflict['name']}, line {conflict['line']}\n")
        for side in conflict["sides"]:
            indented = "\n".join(f"    {line}" for line in side["text"].splitlines() or ["(deleted)"])
            terminal.write(f"  {side['author']}:\n{indented}\n")


@context.command()
@click.argument("message", required=False)
@click.option("--cid", "conversation_id", metavar="ID", help="Of this conversation. [default: default]")
@model_options
@json_option
@settings_options
def preview(
    message: str | None,
    conversation_id: str | None,
    model: str | None,
    as_json: bool,
    config: str | None,
    data: str | None,
) -> None:
    """The prompt exactly as it would be sent now, and what did not fit."""
    from ai_orchestrator.cli.link import open_link
    from ai_orchestrator.cli.notes import left_out

    settings = make_settings(config, data, model__path=model)
    with open_link(settings, model_named=model is not None) as link:
        preview = link.preview(conversation_id, message)
    if as_json:
        terminal.write_json(preview)
        return
    terminal.write(preview["prompt"].rstrip("\n") + "\n")
    parts = [f"{preview['prompt_tokens']} tokens", *left_out(preview["receipt"])]
    terminal.note(" · ".join(parts))


def _open(config: str | None, data: str | None) -> Any:
    from ai_orchestrator.cli.documents import open_documents

    return open_documents(make_settings(config, data))


def _in_editor(text: str, name: str) -> str | None:
    """The edited text; None when the editor was left without saving.

    Raises:
        click.UsageError: there is no terminal for an editor.
    """
    if not terminal.interactive():
        raise click.UsageError("There is no terminal for an editor: pipe the new text in.")
    return click.edit(text, extension=f"-{name}", require_save=True)


def _write_diff_line(line: str) -> None:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    colour = colours.get(line[:1]) if terminal.wants_colour() else None
    if colour is None:
        terminal.write(line + "\n")
    else:
        click.echo(click.style(terminal.safe(line), fg=colour))
