"""`/models`: what this machine's registry holds, its files, what is active, and models sent from elsewhere.

A version arrives file by file in parts that follow one another; `GET` its state to go on after a break. Nothing of it
is used before every hash is right. Activating goes on after the answer: `GET /models` says how it went.
"""

from __future__ import annotations

from pathlib import Path

from flask import Response, request, send_file
from orchestrator_core.backends.activation import ActivationState, Activator
from orchestrator_core.errors import NotFound, fields_of
from orchestrator_core.models.manifest import ModelManifest
from orchestrator_core.models.version import Version

from orchestrator_http.api import Api
from orchestrator_http.bodies import whole_body
from orchestrator_http.schemas.errors import ErrorFields
from orchestrator_http.schemas.models import (
    ActivateBody,
    ActivationAnswer,
    FileFields,
    FilePath,
    HeldAnswer,
    ModelsAnswer,
    ModelVersionPath,
    Offset,
    RollbackBody,
    VersionAnswer,
)
from orchestrator_http.services import services

MAX_PART_BYTES = 4 * 1024 * 1024
BINARY = "application/octet-stream"

api = Api("registry", scope="admin", answered_by="here", for_desktop="source")


@api.route(
    "GET",
    "/models",
    summary="The models of this machine, and which one is active",
    quiet=True,
    scope="ask",
    answered_by="named",
)
def index() -> ModelsAnswer:
    """Each tier has its own registry: the VPS tells of its own, and of the desktop's under `X-Tier: desktop`."""
    return _models(services().activator)


@api.route(
    "POST", "/models/activate", summary="Answer with another model", status=202, errors=(404, 409, 503)
)
def activate(body: ActivateBody) -> ActivationAnswer:
    """Checks its hashes, asks the gate, loads it, decodes with it, and only then answers with it. Answers that
    run end on the former model."""
    return _activation(services().activator.start(body.reference, force=body.force))


@api.route(
    "POST", "/models/rollback", summary="Go back to the model before", status=202, errors=(404, 409, 503)
)
def rollback(body: RollbackBody) -> ActivationAnswer:
    """As activating it. Done twice it comes back again."""
    activator = services().activator
    return _activation(activator.start(activator.previous(), force=body.force))


@api.route(
    "GET",
    "/models/<name>/<version>",
    summary="One version",
    errors=(404, 503),
    scope="ask",
    answered_by="named",
)
def show(path: ModelVersionPath) -> VersionAnswer:
    activator = services().activator
    return _answer(activator.registry.find(path.reference), _active(activator))


@api.route("DELETE", "/models/<name>/<version>", summary="Delete a version", errors=(404, 409, 503, 507))
def remove(path: ModelVersionPath) -> ModelsAnswer:
    """Also what came of one that was never finished. One that is active, or the base of another, is refused."""
    activator = services().activator
    activator.registry.remove(path.reference)
    return _models(activator)


@api.route(
    "GET",
    "/models/<name>/<version>/files/<file>",
    summary="One file of a version",
    media=(BINARY,),
    errors=(404, 416, 503),
    also={206: None, 304: None},
    scope="ask",
    answered_by="named",
)
def download(path: FilePath) -> Response:
    """Takes ranges (RFC 9110 §14); the ETag is the SHA-256, so that `If-Range` resumes the same file only."""
    version = services().activator.registry.find(path.reference)
    if path.file not in version.manifest.files:
        raise NotFound(f"{path.reference} has no file {path.file!r}.")
    file: Path = version.folder / path.file
    if not file.is_file():
        raise NotFound(f"{path.file} of {path.reference} is missing on this machine's disk.")
    return send_file(
        file,
        mimetype=BINARY,
        conditional=True,
        etag=version.manifest.files[path.file].sha256,
        last_modified=None,
        max_age=0,
    )


@api.route(
    "POST", "/models/incoming", summary="Begin to send a version, or go on", errors=(404, 409, 503, 507)
)
def begin(body: ModelManifest) -> HeldAnswer:
    """What came before of the very same files is kept."""
    registry = services().activator.registry
    sizes = {name: file.size for name, file in body.files.items()}
    complete = registry.has(body)
    held = sizes if complete else registry.receive(body).held()
    return HeldAnswer(reference=body.reference, complete=complete, held=held)


@api.route(
    "PUT",
    "/models/incoming/<name>/<version>/<file>",
    summary="Send a part of a file",
    errors=(400, 404, 409, 413, 507),
)
def append(path: FilePath, query: Offset) -> HeldAnswer:
    """The body is the part's bytes, at most 4 MiB, under `application/octet-stream`."""
    request.max_content_length = MAX_PART_BYTES
    incoming = services().activator.registry.incoming(path.reference)
    incoming.append(path.file, query.offset, whole_body(request))
    return HeldAnswer(reference=path.reference, complete=False, held=incoming.held())


@api.route(
    "POST",
    "/models/incoming/<name>/<version>",
    summary="All parts are there",
    status=201,
    errors=(404, 409, 507),
)
def finish(path: ModelVersionPath) -> VersionAnswer:
    """Checks every hash. A file whose hash is wrong is dropped, to be sent again."""
    activator = services().activator
    return _answer(activator.registry.incoming(path.reference).finish(), _active(activator))


def _models(activator: Activator) -> ModelsAnswer:
    active = activator.active()
    reference = None if active is None else active.reference
    return ModelsAnswer(
        active=reference,
        previous=None if active is None else active.previous,
        activation=_activation(activator.state),
        models=[_answer(version, reference) for version in activator.registry.versions()],
    )


def _active(activator: Activator) -> str | None:
    active = activator.active()
    return None if active is None else active.reference


def _activation(state: ActivationState) -> ActivationAnswer:
    error = None if state.error is None else ErrorFields.model_validate(fields_of(state.error))
    return ActivationAnswer(state=state.state, reference=state.reference, error=error)


def _answer(version: Version, active: str | None) -> VersionAnswer:
    manifest = version.manifest
    files = [FileFields(name=name, size=f.size, sha256=f.sha256) for name, f in manifest.files.items()]
    return VersionAnswer(
        **manifest.model_dump(exclude={"files"}),
        reference=manifest.reference,
        active=manifest.reference == active,
        size=manifest.size,
        files=files,
        tiers=manifest.tiers,
    )
