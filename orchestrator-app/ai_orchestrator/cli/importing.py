"""`orchestrator import`: conversations that other programs kept."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.options import make_settings

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings
    from shared_context.conversations.foreign.conversation import ForeignConversation

Store = Callable[[dict[str, Any]], object]
"""Stores one conversation, as `ForeignConversation.as_import` gives it."""


@click.command("import", short_help="Bring conversations from other programs.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would be imported.")
@json_option
@settings_options
def import_(
    paths: tuple[Path, ...], dry_run: bool, as_json: bool, config: str | None, data: str | None
) -> None:
    """Bring conversations from other programs, with their dates.

    PATHS are files or folders: exports of ChatGPT and Claude (the archive or its conversations.json), of Open
    WebUI (or its webui.db), llm's logs.db, and sessions of Claude Code, Codex and OpenClaw (*.jsonl).
    Importing the same again changes nothing.
    """
    from shared_context.conversations.foreign.formats import files_in

    settings = make_settings(config, data)
    files = [file for path in paths for file in files_in(path)]
    report = _Report()
    with (
        _nowhere() if dry_run else _store(settings) as store,
        click.progressbar(
            _conversations(files, report),
            label="Importing",
            file=sys.stderr,
            show_pos=True,
            hidden=not terminal.has_terminal(sys.stderr),
        ) as conversations,
    ):
        for conversation in conversations:
            report.take(conversation, store)
    if as_json:
        terminal.write_json(report.fields())
        return
    _tell(report, dry_run)


class _Report:
    def __init__(self) -> None:
        self.conversations = 0
        self.messages = 0
        self.sources: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.refused: dict[str, str] = {}

    def take(self, conversation: ForeignConversation, store: Store) -> None:
        self.skipped.update(conversation.skipped)
        if not conversation.messages:
            self.skipped["conversations without messages"] += 1
            return
        store(conversation.as_import())
        self.conversations += 1
        self.messages += len(conversation.messages)
        self.sources[conversation.source] += 1

    def fields(self) -> dict[str, Any]:
        return {
            "conversations": self.conversations,
            "messages": self.messages,
            "sources": dict(self.sources),
            "skipped": dict(self.skipped),
            "refused": self.refused,
        }


def _conversations(files: Sequence[Path], report: _Report) -> Iterator[ForeignConversation]:
    """
    Raises:
        InvalidImport: the only file that was named cannot be read; of several, the report says so.
    """
    from shared_context.conversations.foreign.formats import conversations_in
    from shared_context.errors import InvalidImport

    for file in files:
        try:
            yield from conversations_in(file)
        except InvalidImport as error:
            if len(files) == 1:
                raise
            report.refused[str(file)] = error.message


@contextmanager
def _nowhere() -> Iterator[Store]:
    yield lambda conversation: None


@contextmanager
def _store(settings: Settings) -> Iterator[Store]:
    """The running server, or the memory opened here."""
    from shared_context.conversations.store import ConversationStore
    from shared_context.conversations.transfer import import_conversation
    from shared_context.documents.context_folder import ContextFolder

    from ai_orchestrator.holding import reach

    place = reach(settings)
    if isinstance(place, ContextFolder):
        try:
            with ConversationStore.open(settings.data / "memory.db") as conversations:
                yield lambda conversation: import_conversation(conversations, conversation)
        finally:
            place.close()
        return
    with place:
        yield lambda conversation: _through_exports(settings, place.call, conversation)


def _through_exports(settings: Settings, call: Callable[..., Any], conversation: dict[str, Any]) -> None:
    """Hand a conversation to the server that holds the data folder, by way of its exports folder."""
    folder = settings.data / "exports"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "import-in-progress.json"
    try:
        path.write_text(json.dumps(conversation), "utf-8")
        call("POST", "/conversation/load", body={"filename": path.name})
    finally:
        path.unlink(missing_ok=True)


def _tell(report: _Report, dry_run: bool) -> None:
    sources = ", ".join(f"{count} of {source}" for source, count in report.sources.items())
    verb = "Would import" if dry_run else "Imported"
    terminal.note(
        f"{verb} {report.conversations} conversations with {report.messages} messages ({sources or 'none'})."
    )
    for what, count in report.skipped.most_common():
        terminal.note(f"  not taken: {count} {what}")
    for file, why in report.refused.items():
        terminal.note(f"  not read: {file}: {why}")
