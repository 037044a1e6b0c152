"""A class that hands its contract's calls on hands on all of them: an inherited default answers for nobody."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    path
    for package in ROOT.glob("*/*/__init__.py")
    if ".venv" not in package.parts
    for path in package.parent.rglob("*.py")
)


def receiver(method: ast.FunctionDef) -> str | None:
    """What a method that only hands the call on hands it on to: `self._inner` of
    `return self._inner.load()` in `load`."""
    statements = [
        node
        for node in method.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    if len(statements) != 1 or not isinstance(statements[0], (ast.Return, ast.Expr)):
        return None
    value = statements[0].value
    value = value.func if isinstance(value, ast.Call) else value
    return (
        ast.unparse(value.value) if isinstance(value, ast.Attribute) and value.attr == method.name else None
    )


def hands_on(node: ast.ClassDef, promised: set[str]) -> bool:
    """Whether it hands on three of its contract's calls or more, all to the same object."""
    methods = [method for method in node.body if isinstance(method, ast.FunctionDef)]
    receivers = [
        found for method in methods if method.name in promised and (found := receiver(method)) is not None
    ]
    return any(receivers.count(found) >= 3 for found in receivers)


def promised_by(contract: type) -> set[str]:
    return {name for base in contract.__mro__[1:-1] for name in vars(base) if not name.startswith("_")}


def delegating_classes() -> Iterator[type]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and node.bases and hands_on(node, names_in(node)):
                package = next(parent for parent in path.parents if not (parent / "__init__.py").exists())
                name = ".".join(path.relative_to(package).with_suffix("").parts)
                found = getattr(importlib.import_module(name), node.name)
                if hands_on(node, promised_by(found)):
                    yield found


def names_in(node: ast.ClassDef) -> set[str]:
    return {method.name for method in node.body if isinstance(method, ast.FunctionDef)}


@pytest.mark.parametrize("delegating", list(delegating_classes()))
def test_every_public_name_of_the_contract_is_handed_on(delegating: type) -> None:
    assert promised_by(delegating) - set(vars(delegating)) == set()


def test_a_delegating_class_is_noticed() -> None:
    """The backend of a server that starts without its model is one."""
    assert "SwitchingBackend" in {delegating.__name__ for delegating in delegating_classes()}
