"""Runs chat templates, which come from model files and so from strangers.

Like the environment of Hugging Face's tokenizers (`trim_blocks`, `lstrip_blocks`, loop
controls, `tojson`, `raise_exception`, `strftime_now`), but with every step counted.

Contained: attribute access to Python's internals, changing the caller's data, loops and
macros that never end, text that grows without bound. Not contained: a template that simply
says something else than its author claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, cast

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from orchestrator_core.prompt.limits import (
    CHARS_PER_STEP,
    MAX_STEPS,
    TemplateError,
    budgeted,
    produce,
    spend,
    weigh,
    work,
)
from orchestrator_core.prompt.template_filters import produce_replaced, template_filters

__all__ = ["MAX_SOURCE_CHARS", "SandboxedTemplate", "TemplateError"]

MAX_SOURCE_CHARS = 512 * 1024
"""The largest template seen in public models has about 30,000 characters."""
_GROWING_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map"})


class _Counting(NodeTransformer):
    """Routes through the environment, where it is counted, what Jinja does by itself: loops,
    `~`, comparisons, slices, and the building of lists and dictionaries."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _environment_call("counted", [cast(nodes.Expr, node.iter)])
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _environment_call("concatenated", node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _environment_call("weighed", [node.expr])
        for operand in node.ops:
            operand.expr = _environment_call("weighed", [operand.expr])
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _environment_call("looked_at", [node.node])
        return node

    def _built(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        return _environment_call("weighed", [node])

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        return self._built(node) if node.ctx == "load" else node

    visit_List = visit_Dict = _built


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
        self.filters = template_filters(self.filters)
        for name in ("lipsum", "cycler", "joiner"):
            self.globals.pop(name, None)
        self.globals["raise_exception"] = _raise

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        counted: nodes.Template = _Counting().visit(tree)
        return counted.set_environment(self)  # type: ignore[return-value]

    def counted(self, values: Any) -> Any:
        if isinstance(values, Sized):
            spend(len(values))
            return values
        return _each_counted(values) if isinstance(values, Iterable) else values

    def weighed(self, value: Any) -> Any:
        return weigh(value)

    def looked_at(self, value: Any) -> Any:
        return work(value)

    def concatenated(self, *values: Any) -> str:
        texts = [value if isinstance(value, str) else str(weigh(value)) for value in values]
        produce(sum(map(len, texts)))
        return "".join(texts)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        for argument in (*args, *kwargs.values()):
            work(argument)
        if obj in (dict, str):
            weigh([args, kwargs])
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
            produce(len(left) + len(right))
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
        spend(1)
        yield value


def _finalize(value: Any) -> Any:
    if not isinstance(value, str):
        return weigh(value)
    spend(1)
    produce(len(value))
    return value


def _check_method(owner: str, name: str, arguments: tuple[Any, ...]) -> None:
    spend(len(owner) // CHARS_PER_STEP)
    if name == "replace" and len(arguments) >= 2:
        produce_replaced(owner, str(arguments[0]), str(arguments[1]))
    elif name == "join" and arguments and isinstance(arguments[0], list | tuple):
        produce(sum(len(owner) + len(part) for part in arguments[0] if isinstance(part, str)))


def _check_product(left: Any, right: Any) -> None:
    for value, times in ((left, right), (right, left)):
        if isinstance(value, Sized) and isinstance(times, int):
            produce(len(value) * max(times, 0))
            if not isinstance(value, str) and times > 1:
                weigh([value] * min(times, MAX_STEPS))
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > 256:
        raise TemplateError("it computes with numbers no chat template needs")


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
        with budgeted("it does not compile"):  # constant expressions are computed now
            self._template = _ENVIRONMENT.from_string(source)

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text.

        Raises:
            TemplateError: it refuses these messages, fails, or goes over a limit.
        """
        with budgeted("it fails"):
            return self._template.render(variables)
