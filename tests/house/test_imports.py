"""Nothing heavy is imported before it is needed: start-up and the web process stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "llama_cpp", "matplotlib", "peft", "bitsandbytes", "pywebpush", "aiohttp"}

AT_MODULE_LEVEL = {
    "fine_tuning/training/memory_estimate.py",
    "fine_tuning/training/qlora_trainer.py",
    "fine_tuning/tiny/training.py",
    "orchestrator_core/backends/transformers_load.py",
    "orchestrator_core/backends/transformers_model.py",
    "orchestrator_core/engine/native.py",
}
"""Modules that exist for a heavy library and are themselves imported lazily."""

PACKAGES = sorted(path.parent for path in ROOT.glob("*/*/__init__.py") if ".venv" not in path.parts)
MODULES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))


def top_level_imports(source: str) -> set[str]:
    """Top packages that run when the module is imported; not those under TYPE_CHECKING."""
    found: set[str] = set()
    pending = list(ast.parse(source).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            pending += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: "/".join(path.parts[-3:]))
def test_no_module_imports_a_heavy_library_at_its_top(module):
    if "/".join(module.parts[-3:]) in AT_MODULE_LEVEL:
        return
    assert not top_level_imports(module.read_text()) & HEAVY


@pytest.mark.parametrize("entry", ["ai_orchestrator.app", "ai_orchestrator.cli", "ai_orchestrator"])
def test_entry_points_load_nothing_heavy(entry):
    code = f"import sys, {entry}; print(sorted(set(sys.modules) & {HEAVY!r}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
