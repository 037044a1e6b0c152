"""JSON and JSON schemas that clients and models send: read, checked, and held to when the text is there.

No reference is ever fetched from elsewhere, and no pattern of a client's can backtrack without end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
from orchestrator_core.errors import InvalidRequest
from pydantic_core import from_json

BACKTRACK_LIMIT = 100_000
"""Steps for one pattern on one text; beyond, the text counts as not matching."""


def check_schema(schema: Mapping[str, Any], subject: str, param: str) -> None:
    """
    Raises:
        InvalidRequest: it is no JSON schema, or refers to something outside itself; the message
            says where.
    """
    try:
        _validator(schema)
    except jsonschema_rs.ValidationError as error:
        place = "/".join(str(part) for part in error.instance_path) or "its top level"
        raise InvalidRequest(
            f"{subject} are no valid JSON schema, at {place}: {error.message[:200]}.", param=param
        ) from None


def is_valid(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether the value satisfies the schema."""
    return _validator(schema).is_valid(value)


def read_json(text: str) -> Any:
    """
    Raises:
        ValueError: it is not JSON, or nested more than some 200 levels deep.
    """
    return from_json(text, allow_inf_nan=False)


def is_too_deep(text: str) -> bool:
    """Whether the text is JSON that nobody here would read, for its depth."""
    try:
        read_json(text)
    except ValueError as error:
        return "recursion limit" in str(error)
    return False


def moved(schema: Any, base: str) -> Any:
    """The schema with its local references pointing below `base`, its new place."""
    if isinstance(schema, list):
        return [moved(item, base) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: moved(value, base) for key, value in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        out["$ref"] = base + reference[1:]
    return out


def _validator(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        dict(schema),
        retriever=_refuse,
        pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACK_LIMIT),
    )


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri[:100]!r} is not in the schema itself")
