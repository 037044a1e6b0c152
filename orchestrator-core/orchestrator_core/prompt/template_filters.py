"""The filters chat templates use, each with its work counted. All others do not exist."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from orchestrator_core.prompt.limits import produce, weigh, work

_SHALLOW = frozenset(
    {"abs", "count", "d", "default", "first", "float", "int", "items", "last", "length", "list", "map"}
    | {"reject", "rejectattr", "reverse", "select", "selectattr"}
)
"""Look at their argument, not into what it holds."""

_DEEP = frozenset(
    {"capitalize", "dictsort", "e", "escape", "forceescape", "groupby", "lower", "max", "min", "safe"}
    | {"sort", "string", "title", "trim", "unique", "upper"}
)


def template_filters(jinja_filters: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Jinja's own filters of the list above, and ours where Jinja's differ from what Hugging
    Face's templates expect or could grow without bound."""
    own: dict[str, Callable[..., Any]] = {
        "tojson": _tojson,
        "join": _join,
        "replace": _replace,
        "indent": _indent,
        "round": _round,
    }
    deep: dict[str, Callable[..., Any]] = {name: jinja_filters[name] for name in _DEEP}
    deep |= {**own, "strip": str.strip}
    counted = {name: _counted(function, weigh) for name, function in deep.items()}
    return counted | {name: _counted(jinja_filters[name], work) for name in _SHALLOW}


def produce_replaced(text: str, old: str, new: str) -> None:
    """Counts what `text.replace(old, new)` makes."""
    produce(len(text) + (text.count(old) if old else len(text) + 1) * len(new))


def _counted(function: Callable[..., Any], cost: Callable[[Any], object]) -> Callable[..., Any]:
    @wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        for argument in args:
            cost(argument)
        result = function(*args, **kwargs)
        if isinstance(result, str):
            produce(len(result))
        return result

    return counted


def _join(values: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    parts: list[str] = []
    for value in values:
        if attribute is not None:
            value = value.get(attribute, "") if isinstance(value, Mapping) else ""
        parts.append(str(weigh(value)))
        produce(len(parts[-1]) + len(d))
    return str(d).join(parts)


def _replace(text: Any, old: str, new: str, count: int = -1) -> str:
    produce_replaced(str(text), str(old), str(new))
    return str(text).replace(str(old), str(new), count)


def _indent(text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    prefix = width if isinstance(width, str) else " " * min(width, 64)
    lines = str(text).splitlines(keepends=True)
    produce(len(prefix) * len(lines))
    return "".join(
        prefix + line if (number or first) and (blank or line.strip()) else line
        for number, line in enumerate(lines)
    )


def _round(value: float, precision: int = 0, method: str = "common") -> float:
    return float(round(value, max(-20, min(precision, 20))))


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as Hugging Face's templates expect it: no HTML escapes, unlike Jinja's own filter."""
    indent = None if indent is None else min(int(indent), 16)
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
