"""The OpenAPI document, generated from the declared operations and their models.

Nothing is written by hand here except words every route shares: the error bodies, the
statuses the edge itself answers with, and how a key is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator_http.api import EVENTS, JSON, Operation
from orchestrator_http.bodies import has_required_fields
from orchestrator_http.error_formats import FORMATS, error_format

_REF = "#/components/schemas/{model}"
EDGE_STATUSES = (400, 403, 500)
"""What any route may answer: unreadable request or Host, foreign Host or Origin, a bug."""

KEY_STATUSES = (401, 429, 503)
"""What any route behind the key may answer besides; 503 while the server stops."""

BODY_STATUSES = (413, 415)
"""What any route with a body may answer besides."""

_EVENT = {
    "type": "object",
    "description": "One event of the stream.",
    "properties": {
        "id": {"type": "string", "description": "Offset in the run."},
        "event": {
            "type": "string",
            "description": "`thinking`, `seam` or `error`; absent for tokens and the end.",
        },
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["data"],
}

_MEDIA_SCHEMAS: dict[str, dict[str, Any]] = {JSON: {"type": "object"}, EVENTS: _EVENT}

_Mode = Literal["validation", "serialization"]
_Schemas = dict[tuple[Any, _Mode], dict[str, Any]]


def document(
    operations: Iterable[Operation],
    *,
    title: str,
    version: str,
    locked: bool,
    further_statuses: Iterable[int] = (),
) -> dict[str, Any]:
    """An OpenAPI 3.1 document of these operations.

    Args:
        locked: whether this server asks for a key.
        further_statuses: errors that any route behind the key can answer here.
    """
    further = frozenset(further_statuses)
    ordered = sorted(operations, key=lambda each: (each.rule, each.method))
    schemas, definitions = _schemas(ordered)
    paths: dict[str, dict[str, Any]] = {}
    for operation in ordered:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", operation.rule)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas, locked, further)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def statuses(operation: Operation) -> list[int]:
    """Every status the operation documents."""
    key = () if operation.open else KEY_STATUSES
    body = BODY_STATUSES if "body" in operation.parts else ()
    own = (operation.status, *operation.also, *operation.errors)
    return sorted({*own, *EDGE_STATUSES, *key, *body})


def _schemas(operations: Sequence[Operation]) -> tuple[_Schemas, dict[str, Any]]:
    wanted: list[tuple[type[BaseModel], _Mode]] = [(each.model, "serialization") for each in FORMATS]
    for operation in operations:
        wanted += [(model, "validation") for model in operation.parts.values()]
        given = (operation.answer_model, *operation.also.values())
        wanted += [(model, "serialization") for model in given if model is not None]
    references, top = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_REF)
    return {**references}, top.get("$defs", {})


def _operation(
    operation: Operation, schemas: _Schemas, locked: bool, further: frozenset[int]
) -> dict[str, Any]:
    answers = sorted({*statuses(operation), *(() if operation.open else further)})
    out: dict[str, Any] = {
        "operationId": f"{operation.tag}_{operation.name}",
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": list(_parameters(operation)),
        "responses": {str(status): _response(operation, status, schemas) for status in answers},
        "security": [{"key": []}] if locked and not operation.open else [],
    }
    if operation.description:
        out["description"] = operation.description
    if (body := operation.parts.get("body")) is not None:
        out["requestBody"] = {
            "required": has_required_fields(body),
            "content": {JSON: {"schema": schemas[body, "validation"]}},
        }
    return out


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for part, place in (("path", "path"), ("query", "query"), ("headers", "header")):
        if (model := operation.parts.get(part)) is None:
            continue
        schema = model.model_json_schema(ref_template=_REF)
        required = set(schema.get("required", ()))
        for name, described in schema["properties"].items():
            yield {
                "name": name,
                "in": place,
                "required": place == "path" or name in required,
                "schema": described,
            }


def _response(operation: Operation, status: int, schemas: _Schemas) -> dict[str, Any]:
    out: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if status == operation.status:
        out["content"] = {media: {"schema": _answer(operation, media, schemas)} for media in operation.media}
    elif status in operation.also:
        also = operation.also[status]
        if also is not None:
            out["content"] = {JSON: {"schema": schemas[also, "serialization"]}}
    else:
        model = error_format(operation.rule).model
        out["content"] = {JSON: {"schema": schemas[model, "serialization"]}}
    return out


def _answer(operation: Operation, media: str, schemas: _Schemas) -> dict[str, Any]:
    if media == JSON and operation.answer_model is not None:
        return schemas[operation.answer_model, "serialization"]
    return _MEDIA_SCHEMAS.get(media, {"type": "string"})
