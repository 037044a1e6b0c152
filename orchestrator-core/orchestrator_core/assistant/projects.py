"""Which project's documents a request is about."""

from __future__ import annotations

from collections.abc import Sequence

from shared_context.documents import ContextFolder
from shared_context.errors import DocumentRejected
from shared_context.handoff import PORTFOLIO
from shared_context.retrieval.recall import Found

from orchestrator_core.errors import NotFound


def documents_of(context: ContextFolder | None, project: str | None) -> ContextFolder | None:
    """The documents of a project that exists; None as project: of the active one.

    Raises:
        DocumentNotFound, NotFound: there is no such project; the hint names those that there are.
    """
    if project is None or (context is not None and project == context.project):
        return context
    if context is None:
        raise NotFound(f"There is no project {project!r}: this assistant has no context folder.")
    try:
        return context.in_project(project)
    except DocumentRejected as error:
        # A name that cannot be one is nobody's.
        raise NotFound(error.message, hint=error.hint, param="project") from error


def recalled_for(found: Sequence[Found], context: ContextFolder | None, project: str | None) -> list[Found]:
    """What may be recalled for a question about a project: the index has the documents of the
    active project, which another one's question must not be answered from."""
    if project is None or context is None or project == context.project:
        return list(found)
    return [one for one in found if one.source == "message" or one.item.startswith(f"{PORTFOLIO}#")]
