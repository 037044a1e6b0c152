"""Routes declared by the models that validate them.

A view says in its annotations what it takes and gives:

    @api.route("PUT", "/context/<name>", summary="Edit a document", errors=(404, 428))
    def edit(path: DocumentPath, headers: IfMatch, body: EditBody) -> DocumentAnswer: ...

`body`, `query`, `path` and `headers` are validated before the view runs; the answer is
serialised by its model. `openapi.py` reads the same declarations, so the document cannot
say anything else than the code does.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from flask import Blueprint, Response, request
from orchestrator_core.chat_request import invalid_request
from orchestrator_core.errors import NotFound
from pydantic import BaseModel, ValidationError

from orchestrator_http.bodies import read_body

ErrorShape = Literal["orchestrator", "openai"]
JSON = "application/json"
EVENTS = "text/event-stream"
TEXT = "text/plain"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with something besides its model.

    Args:
        model: the body.
        headers: response headers.
        status: replaces the route's status; must be documented there.
    """

    model: BaseModel
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One route, as declared.

    Args:
        errors: statuses this route can answer besides the ones every route has.
        open: whether it is served without an API key.
        media: content types of the successful answer.
        answer: model of the JSON answer; None where the answer is not JSON.
        also: further statuses that are no errors, with their models; None: without a body.
        max_body_bytes: replaces the server's limit for request bodies.
    """

    method: str
    rule: str
    name: str
    tag: str
    summary: str
    description: str
    status: int
    media: tuple[str, ...]
    errors: tuple[int, ...]
    error_shape: ErrorShape
    open: bool
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    path: type[BaseModel] | None
    headers: type[BaseModel] | None
    answer: type[BaseModel] | None
    also: Mapping[int, type[BaseModel] | None]
    max_body_bytes: int | None = None


class Api:
    """A Flask blueprint that keeps its operations.

    Args:
        name: blueprint name and OpenAPI tag.
        error_shape: which error body its routes answer with.
    """

    def __init__(self, name: str, *, error_shape: ErrorShape = "orchestrator") -> None:
        self.name = name
        self.error_shape: ErrorShape = error_shape
        self.blueprint = Blueprint(name, __name__)
        self.operations: list[Operation] = []

    def route(
        self,
        method: str,
        rule: str,
        *,
        summary: str,
        errors: tuple[int, ...] = (),
        status: int = 200,
        media: tuple[str, ...] = (JSON,),
        answer: type[BaseModel] | None = None,
        also: Mapping[int, type[BaseModel] | None] | None = None,
        open: bool = False,
        max_body_bytes: int | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a view; see the module's example.

        Args:
            answer: the answer's model, where the return annotation (Response, Reply) does
                not name it.
        """

        def declare(view: Callable[..., Any]) -> Callable[..., Any]:
            hints = typing.get_type_hints(view)
            returned = hints.get("return")
            operation = Operation(
                method=method,
                rule=rule,
                name=view.__name__,
                tag=self.name,
                summary=summary,
                description=inspect.getdoc(view) or "",
                status=status,
                media=media,
                errors=errors,
                error_shape=self.error_shape,
                open=open,
                body=hints.get("body"),
                query=hints.get("query"),
                path=hints.get("path"),
                headers=hints.get("headers"),
                answer=answer or (returned if _is_model(returned) else None),
                also=also or {},
                max_body_bytes=max_body_bytes,
            )
            self.operations.append(operation)
            wrapped = _validated(view, operation)
            if open:
                wrapped = without_key(wrapped)
            self.blueprint.add_url_rule(
                rule, view.__name__, wrapped, methods=[method], provide_automatic_options=False
            )
            return view

        return declare


def without_key(view: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a view as served without an API key. Every other view needs one, also the views
    of blueprints that do not use `Api`."""
    view.served_without_key = True  # type: ignore[attr-defined]
    return view


def needs_key(view: Callable[..., Any]) -> bool:
    return not getattr(view, "served_without_key", False)


def _validated(view: Callable[..., Any], operation: Operation) -> Callable[..., Any]:
    @functools.wraps(view)
    def call(**path_arguments: str) -> Response:
        arguments: dict[str, BaseModel] = {}
        if operation.path is not None:
            arguments["path"] = _path(operation.path, path_arguments)
        if operation.query is not None:
            arguments["query"] = operation.query.model_validate(request.args.to_dict())
        if operation.headers is not None:
            arguments["headers"] = operation.headers.model_validate(_headers(operation.headers))
        if operation.body is not None:
            if operation.max_body_bytes is not None:
                request.max_content_length = operation.max_body_bytes
            arguments["body"] = read_body(request, operation.body)
        return respond(view(**arguments), operation.status)

    return call


def _path(model: type[BaseModel], values: Mapping[str, str]) -> BaseModel:
    """
    Raises:
        NotFound: a value nothing can be named by, so there is nothing under it.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = invalid_request(error)
        raise NotFound(problem.message, hint=problem.hint) from None


def _headers(model: type[BaseModel]) -> dict[str, str]:
    """The request headers the model names by alias; absent ones stay absent."""
    names = [info.alias or name for name, info in model.model_fields.items()]
    return {name: request.headers[name] for name in names if name in request.headers}


def respond(result: Any, status: int = 200) -> Response:
    """A view's result as a response: a model, a `Reply`, or a response as it stands."""
    if isinstance(result, Response):
        return result
    reply = result if isinstance(result, Reply) else Reply(result)
    response = Response(
        reply.model.model_dump_json(by_alias=True),
        status=reply.status or status,
        content_type=JSON,
    )
    response.headers.extend(dict(reply.headers))
    return response


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
