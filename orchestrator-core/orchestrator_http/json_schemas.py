"""JSON schemas that clients send: checked when they come, and held to when the text is there.

A grammar enforces form: types, fields, choices, lengths, ranges of integers. The rest can only
be checked afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator_core.errors import InvalidRequest

_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_GRAMMAR_CANNOT = frozenset(
    {
        *("multipleOf", "uniqueItems", "contains", "minContains", "maxContains", "unevaluatedItems"),
        *("minProperties", "maxProperties", "patternProperties", "propertyNames"),
        *("dependentRequired", "dependentSchemas", "unevaluatedProperties", "not", "if", "then", "else"),
    }
)
"""Keywords that the engine's grammars pass over; bounds too, unless of integers
(`engine.json_grammar` lists what they hold to)."""


def check_schema(schema: Mapping[str, Any], subject: str, param: str) -> None:
    """
    Raises:
        InvalidRequest: it is no JSON schema, or refers to something outside itself; the message
            says where.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its top level"
        raise InvalidRequest(
            f"{subject} are no valid JSON schema, at {place}: {error.message[:200]}.", param=param
        ) from None
    for reference in _references(schema):
        if not _leads_somewhere(reference, schema):
            raise InvalidRequest(
                f"{subject} refer to {str(reference)[:100]!r}, which is not in the schema itself.",
                param=param,
            )


def enforced_by_grammar(schema: Any) -> bool:
    """Whether text that follows the engine's grammar of this schema is sure to be valid."""
    if isinstance(schema, list):
        return all(enforced_by_grammar(item) for item in schema)
    if not isinstance(schema, Mapping):
        return True
    if _GRAMMAR_CANNOT & schema.keys() or (_BOUNDS & schema.keys() and not _bounds_enforced(schema)):
        return False
    return all(enforced_by_grammar(value) for key, value in schema.items() if key not in ("enum", "const"))


def is_valid(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether the value satisfies the schema. No reference is ever fetched from elsewhere."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    return bool(Draft202012Validator(schema, registry=Registry()).is_valid(value))


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


def _bounds_enforced(schema: Mapping[str, Any]) -> bool:
    if schema.get("type") == "number":
        return _BOUNDS & schema.keys() == {"minimum"} and schema["minimum"] == 0
    return schema.get("type") == "integer"


def _references(schema: Any) -> Iterator[Any]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef"):
                yield value
            else:
                yield from _references(value)


def _leads_somewhere(reference: Any, schema: Any) -> bool:
    """Whether it is a JSON pointer to a place in the schema; nothing else is followed."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return False
    place = schema
    for part in reference.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(place, Mapping) and key in place:
            place = place[key]
        elif isinstance(place, list) and key.isdecimal() and int(key) < len(place):
            place = place[int(key)]
        else:
            return False
    return isinstance(place, Mapping | bool)
