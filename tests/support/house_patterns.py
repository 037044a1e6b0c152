"""Every regular expression of the house: those that modules hold, and those written at a call."""

from __future__ import annotations

import ast
import importlib
import re
import types
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(
    path.parent for path in ROOT.glob("*/*/__init__.py") if path.parts[len(ROOT.parts)][0] != "."
)
MODULES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
CALLS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"}
_JS_PATTERN = re.compile(
    r"[=(,:!&|?;{}\[][ \t]?/((?:[^/\\\[\n*]|\\.|\[(?:[^\]\\\n]|\\.)*+\])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*+\])*+)/([a-z]*)"
)


def module_of(path: Path) -> types.ModuleType:
    package = next(package for package in PACKAGES if package in path.parents)
    parts = [package.name, *path.relative_to(package).with_suffix("").parts]
    return importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))


@dataclass(frozen=True)
class HousePattern:
    """
    Args:
        anchored: used with `match` and `fullmatch` only.
    """

    pattern: re.Pattern[str]
    anchored: bool


def patterns_in(path: Path, examples: dict[str, list[str]]) -> list[HousePattern]:
    """Of one module.

    Args:
        examples: for a call whose pattern is made from arguments, by `MODULE.py: SOURCE`: patterns
            as the call may get them.

    Raises:
        LookupError: a pattern cannot be known from the source and has no example.
    """
    tree = ast.parse(path.read_text())
    calls = [node for node in ast.walk(tree) if _is_call(node)]
    if not calls and "Pattern" not in path.read_text():
        return []
    module = module_of(path)
    uses = _uses(tree)
    anchored: dict[re.Pattern, bool] = {}
    for name, value in vars(module).items():
        for pattern in _held(value):
            anchored[pattern] = anchored.get(pattern, True) and _only_anchored(uses.get(name, set()))
        for inner in vars(value).items() if isinstance(value, type) else ():
            for pattern in _held(inner[1]):
                anchored[pattern] = anchored.get(pattern, True) and _only_anchored(uses.get(inner[0], set()))
    for call in calls:
        for pattern in _written(call, module, path.name, examples):
            if call.func.attr != "compile" or pattern not in anchored:
                anchored[pattern] = anchored.get(pattern, True) and _only_anchored({call.func.attr})
    return [HousePattern(_as_text(pattern), alone) for pattern, alone in anchored.items()]


def _uses(tree: ast.Module) -> dict[str, set[str]]:
    """The attributes taken of each name, and of each attribute."""
    uses: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
            uses[node.value.id if isinstance(node.value, ast.Name) else node.value.attr].add(node.attr)
    return uses


def _only_anchored(methods: set[str]) -> bool:
    return bool(methods) and methods <= {"match", "fullmatch"}


def page_patterns(script: Path) -> list[re.Pattern[str]]:
    """The patterns of a page's script; their syntax is a part of Python's."""
    return [re.compile(source.replace(r"\/", "/")) for source, _ in _JS_PATTERN.findall(script.read_text())]


def _is_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CALLS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
    )


def _held(value: object, depth: int = 3) -> Iterator[re.Pattern]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, dict):
        for inner in value.values():
            yield from _held(inner, depth - 1)
    elif depth and isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            yield from _held(inner, depth - 1)


def _written(call, module, file: str, examples) -> Iterator[re.Pattern]:
    source, *_ = [*call.args[:1]] or [k.value for k in call.keywords if k.arg == "pattern"]
    written = ast.unparse(source)
    flags = next((k.value for k in call.keywords if k.arg == "flags"), None)
    if flags is None and call.func.attr == "compile" and len(call.args) > 1:
        flags = call.args[1]
    try:
        sources = [_evaluated(source, module)]
    except NameError:
        sources = examples.get(f"{file}: {written}", [])
        if not sources:
            raise LookupError(f"{file}:{call.lineno}: which patterns does {written} stand for?") from None
    for text in sources:
        yield (
            text
            if isinstance(text, re.Pattern)
            else re.compile(text, _evaluated(flags, module) if flags else 0)
        )


def _evaluated(node: ast.expr, module: types.ModuleType):
    return eval(compile(ast.Expression(node), module.__name__, "eval"), dict(vars(module)))


def _as_text(pattern: re.Pattern) -> re.Pattern[str]:
    """A pattern of bytes as one of characters, so that one generator serves both."""
    if isinstance(pattern.pattern, bytes):
        return re.compile(pattern.pattern.decode("latin-1"), pattern.flags | re.ASCII)
    return pattern
