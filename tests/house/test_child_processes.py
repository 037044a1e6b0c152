"""No process that we start is handed the owner's secrets."""

import ast
from pathlib import Path

import pytest
from shared_context.child_environment import child_environment

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [path.parent for path in ROOT.glob("*/*/__init__.py") if "tests" not in path.parts]
STARTERS = {"run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec"}


@pytest.mark.parametrize(
    "name", ["ORCHESTRATOR_API_KEY", "HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY"]
)
def test_secrets_are_not_passed_on(monkeypatch, name):
    monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    environment = child_environment({"MORE": "1"})
    assert name not in environment
    assert environment["CUDA_VISIBLE_DEVICES"] == "0" and environment["MORE"] == "1" and "PATH" in environment


def test_every_process_is_started_with_an_environment_of_its_own():
    starts = [
        (path.relative_to(ROOT), call)
        for package in PACKAGES
        for path in package.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in ("subprocess", "asyncio")
        and call.func.attr in STARTERS
    ]
    assert starts
    for path, call in starts:
        given = next((word.value for word in call.keywords if word.arg == "env"), None)
        assert isinstance(given, ast.Call) and ast.unparse(given.func) == "child_environment", (
            path,
            call.lineno,
        )
