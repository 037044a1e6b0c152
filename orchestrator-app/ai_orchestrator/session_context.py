"""A handoff document as text for a prompt: read, and cut in the open where it does not fit."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from shared_context.documents.context_folder import DOCUMENT_NAMES, Document
from shared_context.documents.document_names import MAX_DOCUMENT_BYTES, document_path
from shared_context.documents.starters import starter_text
from shared_context.errors import DocumentNotFound, DocumentRejected

if TYPE_CHECKING:
    from orchestrator_core.prompt.builder import PromptBuilder
    from orchestrator_core.settings import Settings

log = logging.getLogger(__name__)

NAMED_PARTS = 5
"""Left-out parts named in the text; of more, only the number is told."""


def read_document(settings: Settings, name: str | Path) -> Document:
    """A handoff document of the configured folder by its name, or any text file by its path.

    A handoff document that nobody has written yet is its starter.

    Raises:
        DocumentNotFound: neither a handoff document nor a file.
        DocumentRejected: not UTF-8, or too large.
    """
    given = str(name)
    if given in DOCUMENT_NAMES:
        path = settings.context_folder / document_path(given, settings.context.project)
        if not path.is_file():
            log.info("%s does not exist yet in %s; its starter is used", given, settings.context_folder)
            return _document(given, starter_text(given), datetime.now(UTC))
    else:
        path = Path(given).expanduser()
    if not path.is_file():
        raise DocumentNotFound(
            f"There is no document {given!r}.",
            f"Give the path of a text file or one of {', '.join(DOCUMENT_NAMES)}.",
        )
    if path.stat().st_size > MAX_DOCUMENT_BYTES:
        raise DocumentRejected(f"{given} is larger than {MAX_DOCUMENT_BYTES // 1024**2} MiB.", "Shorten it.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentRejected(
            f"{given} is not UTF-8 (byte {error.start}).", "Save it as UTF-8 text."
        ) from error
    return _document(path.name, text, datetime.fromtimestamp(path.stat().st_mtime, UTC))


def fit(document: Document, max_tokens: int, builder: PromptBuilder) -> str:
    """The document within `max_tokens` tokens. When it is cut, its first line says so."""
    cut, whole = builder.cut(document, max_tokens)
    if cut.tokens >= whole:
        return cut.text
    note = shortened_note(document.name, cut.left_out)
    cut, whole = builder.cut(document, max(1, max_tokens - builder.count(note)))
    note = shortened_note(document.name, cut.left_out)
    log.warning(
        "%s was cut to %d of %d tokens; left out: %s",
        document.name, cut.tokens, whole, "; ".join(cut.left_out) or "parts of it",
    )  # fmt: skip
    return note + cut.text


def shortened_note(name: str, left_out: tuple[str, ...]) -> str:
    """The line that tells model and reader what is missing."""
    named = [f'"{title}"' for title in left_out[:NAMED_PARTS]]
    if len(left_out) > NAMED_PARTS:
        named.append(f"and {len(left_out) - NAMED_PARTS} more")
    what = f": {', '.join(named)}" if named else ""
    return f"({name} is shortened to fit; left out{what or ' is the rest'}.)\n\n"


def _document(name: str, text: str, at: datetime) -> Document:
    version = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
    return Document(name, text, version, at.strftime("%Y-%m-%dT%H:%M:%SZ"), "file")
