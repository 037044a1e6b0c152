"""Routes declared once, by what the rest of the house must know of them.

    api = Api("context")

    @api.route("PUT", "/context/<name>", summary="Edit a document", errors=(404, 428))
    def edit(path: DocumentPath, headers: IfMatch, body: EditBody) -> DocumentAnswer: ...

`body`, `query`, `path` and `headers` are validated before the view runs; the answer is serialised by
its model. Everything else is derived from the declaration: the OpenAPI document (`openapi`), the need for a
key and the log's level (`edge`), which tier answers and whether it may be done twice (the VPS's `relaying`),
and what the credential of a desktop opens (the VPS's `enrolment`).
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypedDict, Unpack

from flask import Blueprint, Flask, Response, current_app, request
from orchestrator_core.chat_request import invalid_request
from orchestrator_core.errors import NotFound
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import MethodNotAllowed

from orchestrator_http.bodies import read_body

JSON = "application/json"
EVENTS = "text/event-stream"
TEXT = "text/plain"

AnsweredBy = Literal["desktop", "here", "named", "any_model", "run_tier"]
"""Which tier answers a request that reaches the VPS.

- `desktop`: the desktop while it is connected, else the VPS.
- `here`: always the tier that was asked.
- `named`: the tier that was asked, unless `X-Tier` names the desktop.
- `any_model`: as `desktop`; its body is all it needs, so that any desktop's model can answer it.
- `run_tier`: the tier on which the run `run_id` began.
"""

ForDesktop = Literal["none", "source", "any"]
"""Which enrolled desktops may use the route with their own credential: none (it takes the API key), the source
of truth, or extra ones too."""

Scope = Literal["ask", "memory", "admin"]
"""What a caller must have been given, see `shared_context.devices.device.SCOPES`."""

_OPERATIONS = "orchestrator_operations"


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


class Declaration(TypedDict, total=False):
    """What `Api` and `Api.route` take by name; see `Operation`."""

    status: int
    media: tuple[str, ...]
    errors: tuple[int, ...]
    answer: type[BaseModel]
    also: Mapping[int, type[BaseModel] | None]
    open: bool
    max_body_bytes: int
    any_type: bool
    answered_by: AnsweredBy
    repeatable: bool
    quiet: bool
    for_desktop: ForDesktop
    scope: Scope


@dataclass(frozen=True)
class Operation:
    """One route, as declared.

    Args:
        status: of the successful answer.
        media: content types of the successful answer.
        errors: statuses this route can answer besides the ones every route has.
        answer: model of the JSON answer, where the view's annotation (Response, Reply) does not name it.
        also: further statuses that are no errors, with their models; None: without a body.
        open: whether it is served without an API key.
        max_body_bytes: replaces the server's limit for request bodies.
        any_type: JSON is taken under any content type, as the contract's publisher does. A page of another
            origin still cannot send any: its Origin is checked.
        repeatable: changes nothing, whatever its method: who asks twice only gets two answers. The VPS may
            then answer what was lost on the way to the desktop. So is all that any model can answer.
        quiet: polled by machines or by the page; logged at DEBUG only.
        scope: what a device or key must have been given to use it.
    """

    method: str
    rule: str
    tag: str
    view: Callable[..., Any]
    summary: str
    status: int = 200
    media: tuple[str, ...] = (JSON,)
    errors: tuple[int, ...] = ()
    answer: type[BaseModel] | None = None
    also: Mapping[int, type[BaseModel] | None] = field(default_factory=dict)
    open: bool = False
    max_body_bytes: int | None = None
    any_type: bool = False
    answered_by: AnsweredBy = "desktop"
    repeatable: bool = False
    quiet: bool = False
    for_desktop: ForDesktop = "none"
    scope: Scope = "memory"

    @property
    def name(self) -> str:
        return self.view.__name__

    @property
    def description(self) -> str:
        return inspect.getdoc(self.view) or ""

    @cached_property
    def parts(self) -> dict[str, type[BaseModel]]:
        """The models of what the view takes: of `body`, `query`, `path` and `headers`."""
        return {name: kind for name, kind in self._hints.items() if name != "return"}

    @property
    def answer_model(self) -> type[BaseModel] | None:
        """None where the answer is not JSON, or of no fixed shape."""
        returned = self._hints.get("return")
        named = isinstance(returned, type) and issubclass(returned, BaseModel)
        return self.answer or (returned if named else None)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return typing.get_type_hints(self.view)


class Api:
    """A group of routes.

    Args:
        name: OpenAPI tag, and name of the Flask blueprint.
        documented: whether its routes are in the OpenAPI document.
        every: what is declared of each of its routes.
    """

    def __init__(self, name: str, *, documented: bool = True, **every: Unpack[Declaration]) -> None:
        self.name = name
        self.documented = documented
        self.operations: list[Operation] = []
        self._every = every
        self._blueprint = Blueprint(name, __name__)

    def route(
        self, method: str, rule: str, *, summary: str, **declared: Unpack[Declaration]
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a view; see the module's example, and `Operation` for the keywords."""

        def declare(view: Callable[..., Any]) -> Callable[..., Any]:
            operation = Operation(method, rule, self.name, view, summary, **(self._every | declared))
            self.operations.append(operation)
            self._blueprint.add_url_rule(
                rule, operation.name, _validated(operation), methods=[method], provide_automatic_options=False
            )
            return view

        return declare

    def attach(self, app: Flask) -> None:
        """Serve the routes."""
        app.register_blueprint(self._blueprint)
        known = app.extensions.setdefault(_OPERATIONS, {})
        known.update({f"{self.name}.{operation.name}": operation for operation in self.operations})


def current_operation() -> Operation | None:
    """The one that the current request's path belongs to, also where it does not take the request's
    method; None: this server has no such route."""
    rule, refusal = request.url_rule, request.routing_exception
    if isinstance(refusal, MethodNotAllowed) and refusal.valid_methods:
        addresses = current_app.create_url_adapter(request)
        if addresses is not None:
            rule, _ = addresses.match(method=next(iter(refusal.valid_methods)), return_rule=True)
    operation: Operation | None = current_app.extensions[_OPERATIONS].get(rule.endpoint) if rule else None
    return operation


def _validated(operation: Operation) -> Callable[..., Response]:
    parts = operation.parts

    @functools.wraps(operation.view)
    def call(**path_arguments: str) -> Response:
        arguments: dict[str, BaseModel] = {}
        if "path" in parts:
            arguments["path"] = _path(parts["path"], path_arguments)
        if "query" in parts:
            arguments["query"] = parts["query"].model_validate(request.args.to_dict())
        if "headers" in parts:
            arguments["headers"] = parts["headers"].model_validate(_headers(parts["headers"]))
        if "body" in parts:
            if operation.max_body_bytes is not None:
                request.max_content_length = operation.max_body_bytes
            arguments["body"] = read_body(request, parts["body"], any_type=operation.any_type)
        return respond(operation.view(**arguments), operation.status)

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
