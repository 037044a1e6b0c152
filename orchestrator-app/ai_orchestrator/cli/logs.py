"""`orchestrator logs`: what was said, from the store itself (also while a server runs)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.options import conversation_options

if TYPE_CHECKING:
    from shared_context.conversations.messages import Message
    from shared_context.conversations.store import ConversationStore

MAX_LISTED = 10_000


@click.command(short_help="List, show and search conversations.")
@click.option("-n", "--limit", type=click.IntRange(1, MAX_LISTED), default=20, show_default=True)
@click.option("-q", "--query", metavar="WORDS", help="Messages with all these words, best first.")
@click.option("-r", "--response", is_flag=True, help="Only the text of the last answer.")
@conversation_options
@json_option
@settings_options
def logs(
    limit: int,
    query: str | None,
    response: bool,
    resume: bool,
    conversation_id: str | None,
    as_json: bool,
    config: str | None,
    data: str | None,
) -> None:
    """List conversations, latest first; with -c or --cid show one; with -q search all.

    \b
    orchestrator logs                 conversations
    orchestrator logs -c              the latest one, in full
    orchestrator logs -q "handoff"    messages that mention it
    orchestrator logs -r | pbcopy     the last answer
    """
    from ai_orchestrator.cli.options import make_settings
    from ai_orchestrator.cli.stored import open_store

    settings = make_settings(config, data)
    with open_store(settings) as store:
        if store is None:
            _say_nothing_is_there(settings.data, as_json)
            return
        if query is not None:
            _show_found(store, query, limit, as_json)
            return
        chosen = conversation_id
        if chosen is None and (resume or response):
            chosen = _latest(store)
        if response and chosen is not None:
            _show_last_answer(store, chosen, as_json)
        elif chosen is not None:
            _show_messages(store.messages(chosen), store.versions(chosen), as_json)
        else:
            _show_list(store, limit, as_json)


def _say_nothing_is_there(data: Path, as_json: bool) -> None:
    if as_json:
        terminal.write_json([])
    else:
        terminal.note(f"Nothing is stored in {data} yet.")


def _latest(store: ConversationStore) -> str:
    from ai_orchestrator.cli.stored import latest_used

    latest = latest_used(store)
    if latest is None:
        raise click.ClickException("Nothing was said yet.")
    return latest


def _show_list(store: ConversationStore, limit: int, as_json: bool) -> None:
    conversations = store.list(limit=limit)
    if as_json:
        terminal.write_json([asdict(conversation) for conversation in conversations])
        return
    rows = [
        (
            conversation.conversation_id,
            conversation.updated_at[:16],
            conversation.turn_count,
            conversation.title,
        )
        for conversation in conversations
    ]
    terminal.write_table(("conversation", "last used (UTC)", "turns", "title"), rows)


def _show_messages(messages: list[Message], versions: dict[str, list[Message]], as_json: bool) -> None:
    if as_json:
        with_versions = [(message, versions.get(message.message_id, [])) for message in messages]
        terminal.write_json(
            [{**asdict(message), "versions": list(map(asdict, others))} for message, others in with_versions]
        )
        return
    for message in messages:
        _show_message("# ", message.role, message)
        for other in versions.get(message.message_id, []):
            _show_message("## ", "another version of this answer", other)


def _show_message(mark: str, what: str, message: Message) -> None:
    answered_by = _answered_by(message) if message.role == "assistant" else message.tier
    parts = (what, message.created_at, answered_by)
    terminal.write(mark + " · ".join(part for part in parts if part) + "\n")
    terminal.write(message.content.rstrip("\n") + "\n\n")


def _answered_by(message: Message) -> str:
    """Which tier and model, and, where it was not the desktop, why."""
    from ai_orchestrator.cli.notes import answered_by

    receipt = message.receipt or {}
    return answered_by({"tier": message.tier, "model": message.model, "reason": receipt.get("reason")})


def _show_last_answer(store: ConversationStore, conversation_id: str, as_json: bool) -> None:
    answers = [message for message in store.messages(conversation_id) if message.role == "assistant"]
    if not answers:
        raise click.ClickException("This conversation has no answer yet.")
    if as_json:
        terminal.write_json(asdict(answers[-1]))
    else:
        terminal.write(answers[-1].content.rstrip("\n") + "\n")


def _show_found(store: ConversationStore, query: str, limit: int, as_json: bool) -> None:
    hits = store.search(query, limit)
    if as_json:
        terminal.write_json([asdict(hit) for hit in hits])
        return
    rows = [(hit.conversation_id, hit.created_at[:16], hit.role, hit.snippet) for hit in hits]
    terminal.write_table(("conversation", "said (UTC)", "by", "text"), rows)
