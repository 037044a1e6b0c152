"""Reads names and arguments of tool calls out of text that may not be complete yet.

Every reader takes a text and a place, and returns what it read with the place after it. `Incomplete` says that
more text may make it whole, ValueError that none will. All are linear in the text.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

MAX_DEPTH = 64

_PYTHON_NAMES = ("True", "False", "None")
_JSON_TYPES = {
    str: {"string"},
    bool: {"boolean"},
    int: {"integer", "number"},
    float: {"number"},
    list: {"array"},
    dict: {"object"},
    type(None): {"null"},
}


class Incomplete(Exception):
    """The text ends before the value does."""


def skip_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def literal(text: str, place: int, wanted: str) -> int:
    """The place after `wanted`, whatever the white space in either."""
    for part in wanted.split():
        place = skip_space(text, place)
        if not text.startswith(part, place):
            if part.startswith(text[place:]):
                raise Incomplete
            raise ValueError(f"no {part!r}")
        place += len(part)
    return place


def known_name(text: str, place: int, names: Iterable[str]) -> tuple[str, int]:
    """The longest of the names that stands here as a whole."""
    place = skip_space(text, place)
    names = list(names)
    if any(name.startswith(text[place:]) for name in names):
        raise Incomplete
    for name in sorted(names, key=len, reverse=True):
        after = place + len(name)
        if text.startswith(name, place) and not (
            text[after : after + 1].isalnum() or text[after : after + 1] in "_-"
        ):
            return name, after
    raise ValueError("no known name")


_BRACKETS = re.compile(r"""[()\[\]{}"'\\]""")


def bracketed(text: str, place: int, quotes: str = '"') -> int:
    """The place after the bracket that closes the one standing here; brackets in quoted texts do not count."""
    depth, quote, skip = 0, "", -1
    for match in _BRACKETS.finditer(text, place):
        character = match.group()
        if match.start() == skip:
            continue
        if quote:
            if character == "\\":
                skip = match.end()
            elif character == quote:
                quote = ""
        elif character in quotes:
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth <= 0:
                return match.end()
    raise Incomplete


def json_value(text: str, place: int) -> tuple[Any, int]:
    """The JSON object or list that stands here."""
    place = skip_space(text, place)
    if text[place : place + 1] not in ("{", "[", ""):
        raise ValueError("neither object nor list")
    end = bracketed(text, place)
    try:
        return json.loads(text[place:end]), end
    except RecursionError:
        raise ValueError("nested too deeply") from None


class _JsonNames(ast.NodeTransformer):
    """`true`, `false` and `null`, which models mix in."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        values = {"true": True, "false": False, "null": None}
        return ast.Constant(values[node.id]) if node.id in values else node


def python_call(text: str, place: int, names: Iterable[str]) -> tuple[str, dict[str, Any], int]:
    """`name(key=value, …)` with literal values."""
    name, after = known_name(text, place, names)
    if text[after : after + 1] not in ("(", ""):
        raise ValueError("no call")
    end = bracketed(text, after, "\"'")
    try:
        call = ast.parse("f" + text[after:end], mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("arguments without names")
        return (
            name,
            {str(word.arg): ast.literal_eval(_JsonNames().visit(word.value)) for word in call.keywords},
            end,
        )
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from None


def bare_value(text: str, place: int, quote: str, depth: int = 0) -> tuple[Any, int]:
    """A value whose objects have keys without quotes and whose texts stand in `quote`."""
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    place = skip_space(text, place)
    for mark in (quote, '"'):
        if text.startswith(mark, place):
            end = text.find(mark, place + len(mark))
            if end < 0:
                raise Incomplete
            return text[place + len(mark) : end], end + len(mark)
    opening = text[place : place + 1]
    if opening not in ("{", "["):
        end = min((at for mark in ",]}" if (at := text.find(mark, place)) >= 0), default=len(text))
        return loaded(text[place:end].strip()), end
    into: dict[str, Any] = {}
    items: list[Any] = []
    place = skip_space(text, place + 1)
    while text[place : place + 1] not in ("}", "]"):
        if place >= len(text):
            raise Incomplete
        if opening == "{":
            colon = text.find(":", place)
            if colon < 0:
                raise Incomplete
            key = text[place:colon].strip().removeprefix(quote).removesuffix(quote).strip('"')
            into[key], place = bare_value(text, colon + 1, quote, depth + 1)
        else:
            item, place = bare_value(text, place, quote, depth + 1)
            items.append(item)
        place = skip_space(text, place)
        if text[place : place + 1] == ",":
            place = skip_space(text, place + 1)
    return (into if opening == "{" else items), place + 1


def typed(text: str, schema: object) -> Any:
    """A value written without quotes: what its JSON schema takes it for."""
    types = _types(schema)
    if types == {"string"}:
        return text
    value = loaded(text.strip())
    if "string" not in types:
        return value
    return text if isinstance(value, str) or not types & _types({"const": value}) else value


def _types(schema: object, depth: int = 0) -> set[str]:
    """The JSON types that a schema allows; none where it does not say. A client wrote it: it may be anything."""
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return set()
    declared = schema.get("type")
    types = {
        each for each in (declared if isinstance(declared, list) else [declared]) if isinstance(each, str)
    }
    for value in [*_listed(schema, "enum"), *([schema["const"]] if "const" in schema else [])]:
        types |= _JSON_TYPES.get(type(value), set())
    alternatives = [*_listed(schema, "anyOf"), *_listed(schema, "oneOf")]
    return types.union(*(_types(each, depth + 1) for each in alternatives))


def _listed(schema: Mapping[str, Any], key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else []


def loaded(text: str) -> Any:
    """The JSON value (or Python's, which some templates write), or the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text) if text[:1] in ("{", "[") or text in _PYTHON_NAMES else text
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
