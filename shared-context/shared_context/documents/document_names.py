"""The four handoff documents by name, and where each lies in a context folder.

Broad documents come first. The portfolio is one for all projects; the other three lie beside
it, or, for a named project, in a subfolder of that name.
"""

from __future__ import annotations

import re
import unicodedata

from shared_context.errors import DocumentError, DocumentNotFound, DocumentRejected

PORTFOLIO = "PORTFOLIO_CONTEXT.md"
PROJECT = "PROJECT_CONTEXT.md"
BRIEFING = "SESSION_BRIEFING.md"
LOG = "SESSION_LOG.md"

DOCUMENT_NAMES = (PORTFOLIO, PROJECT, BRIEFING, LOG)
"""Broad to narrow: the order in which a model reads them."""

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
"""Larger files are left alone and reported."""

MAX_DOCUMENT_LINES = 50_000
"""Likewise: every line is an element of the shared list, and a document is taken in while others wait."""

_PROJECT_NAME = re.compile(r"[^\W_][\w .-]{0,62}[\w-]|[^\W_]")
"""Starts with a letter or digit, never ends in a dot or a space (Windows drops those)."""

_ARCHIVE = re.compile(r"SESSION_LOG\.\d{4}(-[1-9]\d{0,3})?\.md")

_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def check_document_name(name: str) -> str:
    """The name itself when it is one of the four.

    Raises:
        DocumentNotFound: anything else, so a path never gets further than this.
    """
    if name not in DOCUMENT_NAMES:
        raise DocumentNotFound(
            f"There is no document {name[:80]!r}.", f"The documents are: {', '.join(DOCUMENT_NAMES)}."
        )
    return name


def archive_name(year: str, number: int = 1) -> str:
    """Of the document that older entries of the log move to; the first of a year has no number."""
    return f"SESSION_LOG.{year}{'' if number == 1 else f'-{number}'}.md"


def is_archive(name: str) -> bool:
    """Whether `archive_name` gives this for some year."""
    return _ARCHIVE.fullmatch(name) is not None


def is_log(path: str) -> bool:
    """Whether the document at this path is the log of a project, or an archive of one."""
    name = path.rpartition("/")[2]
    return name == LOG or is_archive(name)


def check_project_name(project: str) -> str:
    """The project's name in Unicode's composed form (NFC), usable as a folder name everywhere.

    Raises:
        DocumentRejected: empty, a path, hidden, longer than 64 characters, reserved on Windows,
            or the name of a document.
    """
    name = unicodedata.normalize("NFC", project)
    reserved = _WINDOWS_DEVICES.fullmatch(name) or name.upper() in {n.upper() for n in DOCUMENT_NAMES}
    if reserved or not _PROJECT_NAME.fullmatch(name):
        raise DocumentRejected(
            f"The project name {project[:80]!r} cannot be used.",
            "Use 1 to 64 letters, digits, spaces, dots, dashes or underscores, "
            "starting with a letter or digit.",
        )
    return name


def document_path(name: str, project: str | None = None) -> str:
    """Where the document lies below the context folder, with `/`; also its key in the memory."""
    if project is None or name == PORTFOLIO:
        return name
    return f"{project}/{name}"


def document_paths(project: str | None = None) -> dict[str, str]:
    """Where each of the four lies, by name, broad to narrow."""
    return {name: document_path(name, project) for name in DOCUMENT_NAMES}


def project_of(path: str) -> str | None:
    """Whose document lies there; None: it lies beside the portfolio, or is the portfolio."""
    return path.rpartition("/")[0] or None


def is_document_path(path: str) -> bool:
    """Whether `document_path` gives this for some document or archive and project."""
    project, _, name = path.rpartition("/")
    try:
        if not is_archive(name):
            check_document_name(name)
        return path == document_path(name, check_project_name(project) if project else None)
    except DocumentError:
        return False
