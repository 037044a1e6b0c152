"""The owner's handoff documents: each section, and each entry of the log and of its archives, is one answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shared_context.documents.document_names import (
    BRIEFING,
    DOCUMENT_NAMES,
    LOG,
    PORTFOLIO,
    PROJECT,
    is_archive,
)
from shared_context.documents.markdown import sections, split_lines, without_comments

from training_data.errors import DatasetSourceError
from training_data.records import Record

LICENCE = "the owner's; not to be passed on"
FEWEST_WORDS, MOST_WORDS = 5, 200
"""Of an answer: shorter sections say nothing, and longer ones are cut at a line."""

_NAMED = {
    PORTFOLIO: ("portfolio context", "continuity"),
    PROJECT: ("project context", "architecture"),
    BRIEFING: ("session briefing", "handoff"),
    LOG: ("session log", "handoff"),
}
"""What a document is called in a question, and the topic it belongs to."""
_FRAMES = (
    "What does the {document} say about {title}?",
    "{title}: what do we have on that?",
    "Remind me of {title}.",
)


def document_records(folder: Path) -> list[Record]:
    """Records of the handoff documents in a context folder and of the projects in it.

    Raises:
        DatasetSourceError: no document is there, or one cannot be read.
    """
    files = [path for name in DOCUMENT_NAMES for path in (folder / name, *sorted(folder.glob(f"*/{name}")))]
    archives = sorted([*folder.glob("SESSION_LOG.*.md"), *folder.glob("*/SESSION_LOG.*.md")])
    files += [path for path in archives if is_archive(path.name)]
    there = [path for path in files if path.is_file()]
    if not there:
        raise DatasetSourceError(
            f"{str(folder)!r} holds no handoff document.",
            f"Give the folder that holds {BRIEFING} and the others.",
        )
    return [record for path in there for record in _records(path, path.relative_to(folder).as_posix())]


def _records(path: Path, name: str) -> Iterator[Record]:
    try:
        lines = split_lines(without_comments(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetSourceError(
            f"{str(path)!r} cannot be read: {error}", "Mend it, or leave it out."
        ) from error
    document, topic = _NAMED[LOG if is_archive(path.name) else path.name]
    for section in sections(lines):
        body = _shortened(lines[section.start + bool(section.level) : section.stop])
        if not section.title or len(body.split()) < FEWEST_WORDS:
            continue
        for frame in _FRAMES:
            yield Record.of(
                frame.format(document=document, title=section.title),
                body,
                topic=topic,
                fact=f"{name}#{section.title}",
                wording="frame",
                source=f"document:{name}",
                licence=LICENCE,
            )


def _shortened(lines: list[str]) -> str:
    kept: list[str] = []
    words = 0
    for line in lines:
        words += len(line.split())
        if words > MOST_WORDS:
            break
        kept.append(line)
    return "".join(kept).strip()
