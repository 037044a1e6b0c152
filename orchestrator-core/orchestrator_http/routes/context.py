"""`/context`: the handoff documents, read and edited; and what they look like to the model."""

from __future__ import annotations

from flask import Response, request
from orchestrator_core.errors import InvalidRequest, NotFound, PreconditionRequired
from shared_context.documents.context_folder import ContextFolder, Document
from shared_context.documents.document_names import LOG

from orchestrator_http.api import Api, Reply
from orchestrator_http.schemas.context import (
    AuthorHeader,
    ContextAnswer,
    DocumentAnswer,
    DocumentInfo,
    DocumentPath,
    EditBody,
    EntryAnswer,
    EntryBody,
    IfMatch,
    IfNoneMatch,
    LoadContextBody,
    LoadedContextAnswer,
    PreviewAnswer,
    PreviewQuery,
    ProjectQuery,
)
from orchestrator_http.services import services

api = Api("context")


@api.route("GET", "/context", summary="The documents and their versions", errors=(404, 507))
def index(query: ProjectQuery) -> ContextAnswer:
    folder = context_folder(query.project)
    return ContextAnswer(
        project=folder.project,
        projects=folder.projects(),
        documents=[document_info(document) for document in folder.documents()],
        problems=folder.problems(),
    )


@api.route(
    "GET",
    "/context/preview",
    summary="The prompt as it would be sent now",
    errors=(404, 502, 503, 504, 507),
)
def preview(query: PreviewQuery) -> PreviewAnswer:
    here = services()
    here.assistant.context_of(query.project)
    here.model.ensure()
    built = here.assistant.preview(query.conversation_id, query.message, query.project)
    return PreviewAnswer(
        prompt=built.prompt.text,
        prompt_tokens=built.prompt_tokens,
        receipt=built.receipt,
    )


@api.route(
    "POST",
    "/context/load",
    summary="A document as context for a question, within a number of tokens",
    errors=(404, 502, 504, 507),
    repeatable=True,
)
def load(body: LoadContextBody) -> LoadedContextAnswer:
    here = services()
    context_folder(body.project)
    here.model.ensure()
    loaded = here.assistant.load_context(body.name, body.max_tokens, body.project)
    return LoadedContextAnswer.model_validate(loaded)


@api.route(
    "GET",
    "/context/<name>",
    summary="One document",
    errors=(404, 507),
    answer=DocumentAnswer,
    also={304: None},
)
def show(path: DocumentPath, query: ProjectQuery, headers: IfNoneMatch) -> Reply | Response:
    """The ETag is the version; send it back with `If-Match` to edit."""
    document = context_folder(query.project).document(path.name)
    if headers.value is not None and request.if_none_match.contains_weak(document.version):
        return Response(status=304, headers={"ETag": _etag(document)})
    return reply(document)


@api.route(
    "PUT",
    "/context/<name>",
    summary="Edit a document",
    errors=(404, 412, 428, 507),
    answer=DocumentAnswer,
)
def edit(path: DocumentPath, query: ProjectQuery, headers: IfMatch, body: EditBody) -> Reply:
    """The edit is merged against the version in `If-Match`: nothing that others wrote since is
    lost. 412 when that version is not known here."""
    folder = context_folder(query.project, headers)
    base = _base_version(headers.value)
    return reply(folder.edit(path.name, body.text, base_version=base))


@api.route(
    "POST",
    f"/context/{LOG}/entries",
    summary="Add an entry to the session log",
    status=201,
    errors=(404, 507),
)
def append(query: ProjectQuery, headers: AuthorHeader, body: EntryBody) -> EntryAnswer:
    """Sending an `entry_id` again changes nothing."""
    document, entry_id = context_folder(query.project, headers).append_entry(
        body.text, entry_id=body.entry_id
    )
    return EntryAnswer(name=document.name, version=document.version, entry_id=entry_id)


def context_folder(project: str | None = None, writer: AuthorHeader | None = None) -> ContextFolder:
    """
    Args:
        writer: who will write; None, or a nameless one: this tier.

    Raises:
        NotFound, DocumentNotFound: no context folder here, or no such project.
    """
    folder = services().assistant.context_of(project)
    if folder is None:
        raise NotFound("This server keeps no context folder.")
    return folder if writer is None or writer.author is None else folder.written_by(writer.author)


def document_info(document: Document) -> DocumentInfo:
    here = services()
    loaded = here.model.state == "ready"
    return DocumentInfo(
        name=document.name,
        version=document.version,
        tokens=here.assistant.count_tokens(document.text) if loaded else None,
        updated_at=document.updated_at,
        author=document.author,
        conflicts=document.conflicts,
    )


def reply(document: Document) -> Reply:
    answer = DocumentAnswer(name=document.name, version=document.version, text=document.text)
    return Reply(answer, headers={"ETag": _etag(document)})


def _etag(document: Document) -> str:
    return f'"{document.version}"'


def _base_version(if_match: str | None) -> str | None:
    """The version an edit is based on; None stands for the present one (`If-Match: *`)."""
    if if_match is None or not if_match.strip():
        raise PreconditionRequired(
            "The edit does not say which version it is based on.",
            hint="Send the ETag you read with the header If-Match; If-Match: * replaces what is there.",
        )
    text = if_match.strip()
    if text == "*":
        return None
    version = text.removeprefix("W/").strip('"')
    if not version or "," in version or '"' in version:
        raise InvalidRequest(f"The header If-Match holds {if_match!r}, which is not one ETag.")
    return version
