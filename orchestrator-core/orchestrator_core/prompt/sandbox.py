"""Runs chat templates, which come from model files and so from strangers.

Like the environment of Hugging Face's tokenizers (`trim_blocks`, `lstrip_blocks`, loop
controls, `tojson`, `raise_exception`, `strftime_now`), but with every step counted.

Contained: attribute access to Python's internals, changing the caller's data, loops and
macros that never end, text that grows without bound. Not contained: a template that simply
says something else than its author claims.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MAX_SOURCE_CHARS = 512 * 1024
"""The largest template seen in public models has about 30,000 characters."""
MAX_STEPS = 500_000
"""Loop turns, calls and filter work of one rendering; a long chat takes a few thousand."""
MAX_TEXT_CHARS = 16 * 1024 * 1024
"""Text one rendering may produce, intermediate results included."""
_CHARS_PER_STEP = 64

_FILTERS = frozenset(
    [
        "abs",
        "attr",
        "capitalize",
        "count",
        "d",
        "default",
        "dictsort",
        "e",
        "escape",
        "first",
        "float",
        "forceescape",
        "groupby",
        "indent",
        "int",
        "items",
        "join",
        "last",
        "length",
        "list",
        "lower",
        "map",
        "max",
        "min",
        "reject",
        "rejectattr",
        "replace",
        "reverse",
        "round",
        "safe",
        "select",
        "selectattr",
        "sort",
        "string",
        "strip",
        "sum",
        "title",
        "tojson",
        "trim",
        "unique",
        "upper",
    ]
)
_GROWING_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map"})


class TemplateError(jinja2.TemplateError):
    """The template is broken, refuses these messages, or went over a limit."""


class _Budget:
    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.chars = MAX_TEXT_CHARS

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise TemplateError("it does more work than a chat template needs")

    def produce(self, chars: int) -> None:
        self.chars -= chars
        if self.chars < 0:
            raise TemplateError("it produces more text than any prompt has")


_budget: ContextVar[_Budget | None] = ContextVar("template_budget", default=None)


def _spend(steps: int) -> None:
    budget = _budget.get()
    if budget is not None:
        budget.spend(steps)


def _produce(chars: int) -> None:
    budget = _budget.get()
    if budget is not None:
        budget.produce(chars)


def _work(values: Iterable[Any]) -> int:
    """Steps a filter or a call takes with these arguments."""
    steps = 1
    for value in values:
        if isinstance(value, str):
            steps += len(value) // _CHARS_PER_STEP
        elif isinstance(value, Sized) and not isinstance(value, Context | Macro):
            steps += len(value)
    return steps


class _Counting(NodeTransformer):
    """Routes loops and `~` through the environment, where they are counted."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _environment_call("counted", [cast(nodes.Expr, node.iter)])
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _environment_call("concatenated", node.nodes)


def _environment_call(name: str, arguments: list[nodes.Expr]) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None)


class GenerationTag(Extension):
    """`{% generation %}`: marks the assistant's words for training; here only its content counts."""

    tags = {"generation"}

    def parse(self, parser: Any) -> list[nodes.Node]:
        next(parser.stream)
        body: list[nodes.Node] = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return body


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", GenerationTag],
            finalize=_finalize,
            cache_size=0,
        )
        kept = {name: function for name, function in self.filters.items() if name in _FILTERS}
        kept |= {
            "tojson": _tojson,
            "replace": _replace,
            "indent": _indent,
            "strip": str.strip,
            "round": _round,
        }
        self.filters = {name: _counted_filter(function) for name, function in kept.items()}
        for name in ("lipsum", "cycler", "joiner"):
            self.globals.pop(name, None)
        self.globals["raise_exception"] = _raise

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        counted: nodes.Template = _Counting().visit(tree)
        return counted.set_environment(self)  # type: ignore[return-value]

    def counted(self, values: Any) -> Any:
        if isinstance(values, Sized):
            _spend(len(values))
            return values
        return _each_counted(values) if isinstance(values, Iterable) else values

    def concatenated(self, *values: Any) -> str:
        texts = [str(value) for value in values]
        _produce(sum(map(len, texts)))
        return "".join(texts)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        _spend(_work((*args, *kwargs.values())))
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            _check_method(owner, getattr(obj, "__name__", ""), args)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or (operator == "%" and isinstance(left, str)):
            raise TemplateError(f"it uses the operator {operator!r}, which no chat template needs")
        if operator == "*":
            _check_product(left, right)
        elif isinstance(left, Sized) and isinstance(right, Sized):
            _produce(len(left) + len(right))
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Jinja allows `format` with a check of attributes; widths are what grows without bound."""
        if isinstance(getattr(value, "__self__", None), str) and value.__name__ in _GROWING_METHODS:
            raise TemplateError(f"it uses {value.__name__!r}, which no chat template needs")
        return super().wrap_str_format(value)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in _GROWING_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)


def _each_counted(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        _spend(1)
        yield value


def _finalize(value: Any) -> Any:
    if isinstance(value, str):
        _produce(len(value))
    _spend(1)
    return value


def _check_method(owner: str, name: str, arguments: tuple[Any, ...]) -> None:
    _spend(len(owner) // _CHARS_PER_STEP)
    if name == "replace" and len(arguments) >= 2:
        _produce_replaced(owner, str(arguments[0]), str(arguments[1]))
    elif name == "join" and arguments and isinstance(arguments[0], Sized):
        _produce(len(owner) * len(arguments[0]))


def _produce_replaced(text: str, old: str, new: str) -> None:
    _produce(len(text) + (text.count(old) if old else len(text) + 1) * len(new))


def _check_product(left: Any, right: Any) -> None:
    for value, times in ((left, right), (right, left)):
        if isinstance(value, Sized) and isinstance(times, int):
            _produce(len(value) * max(times, 0))
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > 256:
        raise TemplateError("it computes with numbers no chat template needs")


def _counted_filter(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        _spend(_work(args))
        result = function(*args, **kwargs)
        if isinstance(result, str):
            _produce(len(result))
        return result

    return counted


def _replace(text: Any, old: str, new: str, count: int = -1) -> str:
    _produce_replaced(str(text), str(old), str(new))
    return str(text).replace(str(old), str(new), count)


def _indent(text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    prefix = width if isinstance(width, str) else " " * min(width, 64)
    lines = str(text).splitlines(keepends=True)
    _produce(len(prefix) * len(lines))
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


def _raise(message: object) -> None:
    raise TemplateError(str(message)[:500])


_ENVIRONMENT = _Environment()


class SandboxedTemplate:
    """A compiled chat template.

    Raises:
        TemplateError: it does not compile, or is larger than any real one.
    """

    def __init__(self, source: str) -> None:
        if len(source) > MAX_SOURCE_CHARS:
            raise TemplateError(f"it has {len(source):,} characters; the limit is {MAX_SOURCE_CHARS:,}")
        with _budgeted("it does not compile"):  # constant expressions are computed now
            self._template = _ENVIRONMENT.from_string(source)

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text.

        Raises:
            TemplateError: it refuses these messages, fails, or goes over a limit.
        """
        with _budgeted("it fails"):
            return self._template.render(variables)


@contextmanager
def _budgeted(failure: str) -> Iterator[None]:
    """A fresh budget; any error becomes a TemplateError. A template can provoke every kind."""
    token = _budget.set(_Budget())
    try:
        yield
    except TemplateError:
        raise
    except Exception as error:
        raise TemplateError(f"{failure}: {_first_line(error)}") from error
    finally:
        _budget.reset(token)


def _first_line(error: BaseException) -> str:
    text = str(error).splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
