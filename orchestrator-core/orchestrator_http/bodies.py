"""Request bodies: bytes to a validated model, or a clear 4xx.

Covered: bodies over the limit, wrong content type, not UTF-8, not JSON, NaN and infinities, lone
surrogates, nesting deeper than the parser's limit (about 200), something other than an object, wrong types.
"""

from __future__ import annotations

from typing import Any, TypeVar

from flask import Request
from orchestrator_core.errors import InvalidRequest
from pydantic import BaseModel
from pydantic_core import from_json
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

_EXAMPLE = 'Send one JSON object, for example {"message": "Hello"}.'

Model = TypeVar("Model", bound=BaseModel)


def read_body(request: Request, model: type[Model], *, any_type: bool = False) -> Model:
    """The request's JSON object as `model`, types taken strictly ("12" is not a number).

    Args:
        any_type: whatever content type it is sent under.

    An absent body counts as `{}` where no field is required.

    Raises:
        InvalidRequest, pydantic.ValidationError, UnsupportedMediaType, RequestEntityTooLarge.
    """
    raw = whole_body(request)
    if not raw:
        if has_required_fields(model):
            raise InvalidRequest("The request has no body.", hint=_EXAMPLE)
        return model.model_validate({}, strict=True)
    if not any_type and not request.is_json:
        raise UnsupportedMediaType()
    return model.model_validate(parse_object(raw), strict=True)


def whole_body(request: Request, *, cache: bool = False) -> bytes:
    """The request's body as it came, never more of it than its limit.

    Args:
        cache: let it be read again.

    Raises:
        RequestEntityTooLarge.
    """
    body = request.get_data(cache=cache)
    limit = request.max_content_length
    if limit is None or len(body) < limit:
        return body
    # Of a body that does not tell its length, Werkzeug gives the beginning, as long as the limit.
    untold = request.content_length is None
    if len(body) > limit or (untold and request.environ["wsgi.input"].read(1)):
        raise RequestEntityTooLarge
    return body


def has_required_fields(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def parse_object(raw: bytes) -> dict[str, Any]:
    """Strict JSON; see the module's list of what is refused.

    Raises:
        InvalidRequest: the body is not one JSON object.
    """
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The request body is not valid UTF-8 (byte {error.start}).",
            hint="Encode the JSON body as UTF-8.",
        ) from None
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(
            f"The request body is not valid JSON: {error}.",
            hint=_EXAMPLE,
        ) from None
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"The request body must be a JSON object, not {_kind(value)}.",
            hint=_EXAMPLE,
        )
    return value


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names[type(value)]
