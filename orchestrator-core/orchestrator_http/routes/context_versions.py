"""`/context/<doc>/history`, `/restore` and `/context/conflicts`: what was, and what needs a person."""

from __future__ import annotations

from orchestrator_http.api import Api, Reply
from orchestrator_http.routes.context import context_folder, reply
from orchestrator_http.schemas.context import (
    AuthorHeader,
    ConflictInfo,
    ConflictPath,
    ConflictsAnswer,
    DocumentAnswer,
    DocumentPath,
    DocumentVersionPath,
    HistoryAnswer,
    HistoryLimit,
    ProjectQuery,
    ResolveBody,
    RestoreBody,
    VersionInfo,
)

api = Api("context-versions")


@api.route("GET", "/context/<name>/history", summary="The versions of a document", errors=(404, 507))
def history(path: DocumentPath, query: HistoryLimit) -> HistoryAnswer:
    versions = context_folder(query.project).history(path.name, query.limit)
    return HistoryAnswer(versions=[VersionInfo.model_validate(version) for version in versions])


@api.route("GET", "/context/<name>/history/<version>", summary="A document as it was", errors=(404, 507))
def show(path: DocumentVersionPath, query: ProjectQuery) -> DocumentAnswer:
    text = context_folder(query.project).text_at(path.name, path.version)
    return DocumentAnswer(name=path.name, version=path.version, text=text)


@api.route(
    "POST",
    "/context/<name>/restore",
    summary="Make an earlier version the present one",
    errors=(404, 507),
    answer=DocumentAnswer,
)
def restore(path: DocumentPath, query: ProjectQuery, headers: AuthorHeader, body: RestoreBody) -> Reply:
    """A new edit: nothing is lost, and it can be undone the same way."""
    return reply(context_folder(query.project, headers).restore(path.name, body.version))


@api.route("GET", "/context/conflicts", summary="Places two devices changed at once", errors=(404, 507))
def conflicts(query: ProjectQuery) -> ConflictsAnswer:
    places = context_folder(query.project).conflicts()
    return ConflictsAnswer(conflicts=[ConflictInfo.model_validate(place) for place in places])


@api.route(
    "POST",
    "/context/conflicts/<conflict_id>",
    summary="Resolve a conflict",
    errors=(404, 507),
    answer=DocumentAnswer,
)
def resolve(path: ConflictPath, query: ProjectQuery, headers: AuthorHeader, body: ResolveBody) -> Reply:
    """The text takes the place of all sides."""
    return reply(context_folder(query.project, headers).resolve(path.conflict_id, body.text))
