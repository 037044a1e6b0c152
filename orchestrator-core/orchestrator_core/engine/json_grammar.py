"""JSON schema to GBNF grammar, on top of llama-cpp-python's converter.

The converter is an old one. Here is mended what would break a promise or the process: raw control characters in
strings (no valid JSON), integer bounds (ignored), `{}` (taken for "an object"), and lengths (spelled out one
by one, so that a large number takes all memory or overflows llama.cpp's parser).

Held to: types, properties and required ones, enum and const, items and their number, string lengths and formats
(date, time, date-time, uuid), patterns from ^ to $, integer bounds, anyOf, oneOf, allOf of objects, local $ref.
Not held to, because a grammar cannot or the converter does not: uniqueItems, multipleOf, not, if, other
formats, and bounds of numbers that are not integers, except that a minimum of 0 or more forbids the sign.
"""

from __future__ import annotations

import math
from typing import Any

from orchestrator_core.engine.native import lib

PRIMITIVE_RULES = lib.llama_grammar.PRIMITIVE_RULES
BuiltinRule = lib.llama_grammar.BuiltinRule

MAX_REPETITION = 2000
"""Where llama.cpp's own limit for {m,n} lies."""

MAX_DIGITS = 15
"""Integers beyond are not exact in every JSON reader."""

_LARGEST = 10**MAX_DIGITS - 1
_CHAR = r'[^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F])'
_NOT_NEGATIVE = 'integral-part ("." decimal-part)? ([eE] [-+]? integral-part)? space'


def schema_grammar(schema: dict[str, Any]) -> str:
    """The grammar of all JSON texts that the schema allows.

    Raises:
        Exception: of any kind; the converter takes wrong schemas as they come.
    """
    converter = _Converter(schema)
    converter.visit(schema, "")
    return str(converter.format_grammar())


class _Converter(lib.llama_grammar.SchemaConverter):  # type: ignore[misc]
    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
        self._document = schema
        self._rule_of_ref: dict[str, str] = {}

    def visit(self, schema: Any, name: str) -> str:
        if schema is True or schema == {}:
            return self._named(name, self._add_primitive("value", PRIMITIVE_RULES["value"]))
        if not isinstance(schema, dict):
            raise ValueError(f"{schema!r} is not a schema that anything satisfies")
        rule = (
            None if {"$ref", "enum", "const", "anyOf", "oneOf"} & set(schema) else self._mended(schema, name)
        )
        return str(super().visit(schema, name)) if rule is None else self._named(name, rule)

    def _mended(self, schema: dict[str, Any], name: str) -> str | None:
        """The rule of a schema that the converter gets wrong, or None."""
        kind = schema.get("type")
        if kind == "integer" and _bounded(schema):
            return f"({integer_range(*_integer_bounds(schema))}) space"
        if kind == "number" and _lower(schema) >= 0:
            self._add_primitive("number", PRIMITIVE_RULES["number"])
            return _NOT_NEGATIVE
        if (
            kind == "string"
            and {"minLength", "maxLength"} & set(schema)
            and not {"pattern", "format"} & set(schema)
        ):
            char = self._add_primitive("char", PRIMITIVE_RULES["char"])
            return rf'"\"" {char}{_times(schema, "minLength", "maxLength")} "\"" space'
        if kind in ("array", None) and isinstance(schema.get("items"), dict | bool):
            return self._array(schema, name)
        return None

    def _array(self, schema: dict[str, Any], name: str) -> str:
        item = self.visit(schema["items"], f"{name}{'-' if name else ''}item")
        least, most = _limits(schema, "minItems", "maxItems")
        if most == 0:
            return '"[" space "]" space'
        more = f"{{{max(0, least - 1)},{'' if most is None else most - 1}}}"
        items = f'{item} ("," space {item}){more}'
        return f'"[" space {items if least else f"({items})?"} "]" space'

    def _resolve_ref(self, ref: str) -> str:
        """The rule of a reference; one that is being built already is known by its name to be."""
        if ref not in self._rule_of_ref:
            name = self._rule_of_ref[ref] = f"ref--{len(self._rule_of_ref)}"
            self._rule_of_ref[ref] = self.visit(_pointed_at(self._document, ref), name)
        return self._rule_of_ref[ref]

    def _named(self, name: str, rule: str) -> str:
        return str(self._add_rule(f"{name}-" if name in PRIMITIVE_RULES else name or "root", rule))

    def _add_primitive(self, name: str, rule: Any) -> str:
        if rule is PRIMITIVE_RULES["char"]:
            rule = BuiltinRule(_CHAR)
        return str(super()._add_primitive(name, rule))


def integer_range(low: int, high: int) -> str:
    """A GBNF expression for the decimal numbers from low to high, without leading zeros."""
    if low > high:
        raise ValueError(f"no integer lies between {low} and {high}")
    if high < 0:
        return f'"-" ({_natural_range(-high, -low)})'
    if low < 0:
        return f'"-" ({_natural_range(1, -low)}) | {_natural_range(0, high)}'
    return _natural_range(low, high)


def _natural_range(low: int, high: int) -> str:
    """One alternative per number of digits, and those of `_digits_between` for each."""
    parts = []
    for digits in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (digits - 1) if digits > 1 else 0)
        parts.append(_digits_between(str(first), str(min(high, 10**digits - 1))))
    return " | ".join(parts)


def _digits_between(low: str, high: str) -> str:
    """Digit strings of one length between two such strings."""
    if low == high:
        return f'"{low}"'
    rest = len(low) - 1
    if rest == 0:
        return f"[{low}-{high}]"
    free_below, free_above = set(low[1:]) == {"0"}, set(high[1:]) == {"9"}
    if low[0] == high[0]:
        return f'"{low[0]}" ({_digits_between(low[1:], high[1:])})'
    parts = []
    start, end = int(low[0]) + (not free_below), int(high[0]) - (not free_above)
    if not free_below:
        parts.append(f'"{low[0]}" ({_digits_between(low[1:], "9" * rest)})')
    if start <= end:
        parts.append(f"[{start}-{end}] [0-9]{{{rest}}}")
    if not free_above:
        parts.append(f'"{high[0]}" ({_digits_between("0" * rest, high[1:])})')
    return " | ".join(parts)


def _pointed_at(document: Any, ref: str) -> Any:
    """What a JSON pointer like "#/$defs/item" stands for."""
    if ref != "#" and not ref.startswith("#/"):
        raise ValueError(f"only references inside the schema (#/...) are supported, not {ref!r}")
    target = document
    for part in ref.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            target = target[int(key)] if isinstance(target, list) else target[key]
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueError(f"the reference {ref!r} points to nothing") from None
    return target


def _bounded(schema: dict[str, Any]) -> bool:
    return bool({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} & set(schema))


def _integer_bounds(schema: dict[str, Any]) -> tuple[int, int]:
    low, high = -_LARGEST, _LARGEST
    if "minimum" in schema:
        low = max(low, math.ceil(schema["minimum"]))
    if "exclusiveMinimum" in schema:
        low = max(low, math.floor(schema["exclusiveMinimum"]) + 1)
    if "maximum" in schema:
        high = min(high, math.floor(schema["maximum"]))
    if "exclusiveMaximum" in schema:
        high = min(high, math.ceil(schema["exclusiveMaximum"]) - 1)
    return low, high


def _lower(schema: dict[str, Any]) -> float:
    return float(max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf)))


def _times(schema: dict[str, Any], least: str, most: str) -> str:
    low, high = _limits(schema, least, most)
    return f"{{{low},{'' if high is None else high}}}"


def _limits(schema: dict[str, Any], least: str, most: str) -> tuple[int, int | None]:
    low, high = schema.get(least, 0), schema.get(most)
    for key, value in ((least, low), (most, high)):
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(f"{key} must be a number of items, not {value!r}")
    if low > MAX_REPETITION or (high is not None and high < low):
        raise ValueError(f"{least} is {low}: it may be at most {min(MAX_REPETITION, high or MAX_REPETITION)}")
    if high is not None and high > MAX_REPETITION:
        raise ValueError(f"{most} is {high}: it may be at most {MAX_REPETITION}")
    return low, high
