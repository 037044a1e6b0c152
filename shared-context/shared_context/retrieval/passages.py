"""What can be found: a message, an entry or a section, cut where it is long."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared_context.conversations.messages import Message
from shared_context.documents.document import Document
from shared_context.documents.document_names import is_log
from shared_context.documents.log_entry import entry_id_of, log_sections
from shared_context.documents.markdown import sections, without_comments

PASSAGE_CHARS = 400
"""Three or four sentences: one thing that was said, and little enough that many fit a prompt."""

_DATE = re.compile(r"\b(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d))?")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text with where it comes from.

    Args:
        source: `message`, `log` or `document`.
        item: id of the message, or `PATH#entry` or `PATH#heading` with the document's path below the
            context folder.
        part: 0 for the first passage of an item, counted up.
        thread: what belongs together and is read in order: one day of a conversation, or one
            section; begins with the conversation's id or document's path, then a line end.
            Neighbours in a thread lend each other their words.
        speaker: whose words they are, in lower case; "" for documents.
        at: ISO 8601, as far as it is known: a log entry's heading may have a date only, a
            section has none.
    """

    source: str
    item: str
    part: int
    thread: str
    speaker: str
    at: str
    text: str

    @property
    def document(self) -> str:
        """Path of the document it is from; "" for a message."""
        return document_in(self.thread, self.speaker)


def document_in(thread: str, speaker: str) -> str:
    """See `Passage.document`."""
    return "" if speaker else thread.partition("\n")[0]


def message_passages(message: Message) -> list[Passage]:
    """The message's passages; none for one that is neither a person's nor an assistant's."""
    if message.role not in ("user", "assistant"):
        return []
    thread = f"{message.conversation_id}\n{message.created_at[:10]}"
    return [
        Passage("message", message.message_id, part, thread, message.role, message.created_at, text)
        for part, text in enumerate(pieces(message.content))
    ]


def document_passages(document: Document, path: str | None = None) -> list[Passage]:
    """Entries of the log, or sections of another document, each with its heading.

    Args:
        path: of the document below the context folder; by default its name.
    """
    path = path or document.name
    source = "log" if is_log(document.name) else "document"
    passages: list[Passage] = []
    seen: dict[str, int] = {}
    for heading, body in _sections(document.text, entries_only=source == "log"):
        if not body.strip():
            continue
        title = without_comments(heading).lstrip("# ").strip()
        name = (entry_id_of(heading) if source == "log" else None) or title or "beginning"
        seen[name] = seen.get(name, 0) + 1
        item = f"{path}#{name}" + (f" ({seen[name]})" if seen[name] > 1 else "")
        dated = _DATE.search(title)
        at = "T".join(part for part in dated.groups() if part) if dated else ""
        for part, text in enumerate(pieces(body)):
            shown = f"{title}\n{text}" if title else text
            passages.append(Passage(source, item, part, f"{path}\n{name} {seen[name]}", "", at, shown))
    return passages


def pieces(text: str) -> list[str]:
    """`text` in pieces of about `PASSAGE_CHARS`, cut after a line, sentence or word."""
    pieces: list[str] = []
    start = 0
    while start < len(text):
        end = start + PASSAGE_CHARS
        if end < len(text):
            end = start + _cut(text[start:end])
        pieces.append(text[start:end].strip())
        start = end
    return [piece for piece in pieces if piece]


def _cut(text: str) -> int:
    least = len(text) // 2
    for mark in ("\n\n", "\n", ". ", "? ", "! ", "。", "; ", ", ", " "):
        place = text.rfind(mark, least)
        if place >= 0:
            return place + len(mark)
    return len(text)


def _sections(text: str, *, entries_only: bool) -> Iterator[tuple[str, str]]:
    """Headings with what follows them, comments removed from what follows."""
    lines = text.split("\n")
    for section in log_sections(lines) if entries_only else sections(lines):
        heading, body = section.start, section.start + (section.level > 0)
        yield "".join(lines[heading:body]), without_comments("\n".join(lines[body : section.stop]))
