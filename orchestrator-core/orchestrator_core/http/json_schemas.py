"""JSON schemas that clients send: checked, prepared for a grammar, and held to afterwards.

A grammar enforces form: types, fields, enums, lengths, patterns. What it does not enforce
(`GRAMMAR_CANNOT`) has to be checked when the text is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator_core.errors import InvalidRequest

GRAMMAR_CANNOT = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("uniqueItems", "contains", "minContains", "maxContains", "unevaluatedItems"),
        *("minProperties", "maxProperties", "patternProperties", "propertyNames"),
        *("dependentRequired", "dependentSchemas", "unevaluatedProperties", "not", "if", "then", "else"),
    }
)
"""Keywords that llama-cpp-python's conversion to a grammar passes over."""

MAX_ENUMERATED = 1000
"""Integers between two bounds this close are enumerated, which a grammar can enforce."""


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


def for_grammar(schema: Any) -> Any:
    """The same schema in keywords a grammar enforces, as far as that goes: an integer between
    two near bounds becomes a choice of numbers."""
    if isinstance(schema, list):
        return [for_grammar(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    numbers = _enumerated(schema)
    if numbers is not None:
        return {"enum": numbers}
    return {key: value if key in ("enum", "const") else for_grammar(value) for key, value in schema.items()}


def enforced_by_grammar(schema: Any) -> bool:
    """Whether text that follows the grammar of this schema is sure to be valid."""
    if isinstance(schema, list):
        return all(enforced_by_grammar(item) for item in schema)
    if not isinstance(schema, Mapping):
        return True
    if GRAMMAR_CANNOT & schema.keys():
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


def _enumerated(schema: Mapping[str, Any]) -> list[int] | None:
    """The integers a bounded integer schema allows, when they are few."""
    if schema.get("type") != "integer" or "enum" in schema or "const" in schema:
        return None
    bounds = [
        schema.get("minimum"),
        schema.get("maximum"),
        schema.get("exclusiveMinimum"),
        schema.get("exclusiveMaximum"),
    ]
    if not all(bound is None or type(bound) is int for bound in bounds):
        return None
    low = [bound for bound in (bounds[0], None if bounds[2] is None else bounds[2] + 1) if bound is not None]
    high = [bound for bound in (bounds[1], None if bounds[3] is None else bounds[3] - 1) if bound is not None]
    if not low or not high or not 0 <= min(high) - max(low) < MAX_ENUMERATED:
        return None
    step = schema.get("multipleOf", 1)
    if type(step) is not int:
        return None
    return [number for number in range(max(low), min(high) + 1) if number % step == 0] or None


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
