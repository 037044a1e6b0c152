"""`orchestrator search`: everything said and written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal


@click.command(short_help="Search everything said and written.")
@click.argument("words", nargs=-1, required=True)
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--project", metavar="NAME", help="Of the documents only this project's and the portfolio.")
@json_option
@settings_options
def search(
    words: tuple[str, ...],
    limit: int,
    project: str | None,
    as_json: bool,
    config: str | None,
    data: str | None,
) -> None:
    """Lines of all projects' documents that have all WORDS, then messages and log entries that fit."""
    from ai_orchestrator.cli.options import make_settings
    from ai_orchestrator.cli.stored import document_texts, found_in_memory

    settings = make_settings(config, data)
    query = " ".join(words)
    if not query.strip():
        raise click.UsageError("There is no word to search for.")
    results = list(matching_lines(document_texts(settings, project), query.split()))[:limit]
    results.extend(found_in_memory(settings, query, limit, project))
    if as_json:
        terminal.write_json({"results": results})
        return
    rows = [
        (result.get("conversation_id") or result["id"], (result["at"] or "")[:16], result["text"])
        for result in results
    ]
    terminal.write_table(("where", "when (UTC)", "text"), rows)


def matching_lines(texts: Mapping[str, str], words: Iterable[str]) -> Iterable[dict[str, Any]]:
    """Lines with all words, whatever their case.

    Args:
        texts: by the document's path below the context folder.
    """
    from shared_context.documents.document_names import project_of

    wanted = [word.casefold() for word in words]
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines(), start=1):
            folded = line.casefold()
            if all(word in folded for word in wanted):
                place = {"source": "document", "id": f"{path}:{number}", "project": project_of(path)}
                yield {**place, "text": line.strip(), "at": None}
