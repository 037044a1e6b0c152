"""Which project's documents a request is about."""

from __future__ import annotations

from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.document_names import document_paths
from shared_context.errors import DocumentRejected

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


def paths_of(context: ContextFolder | None, project: str | None) -> list[str] | None:
    """Where the documents lie that a question about a project may be answered from; None as project:
    the active one. None: there are no documents.

    Raises:
        DocumentNotFound, NotFound: there is no such project.
    """
    documents = documents_of(context, project)
    return None if documents is None else list(document_paths(documents.project).values())
