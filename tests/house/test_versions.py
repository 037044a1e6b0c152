"""Places that must name the same version are compared by a machine."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWNERS_PACKAGES = [
    *("flask", "gunicorn", "torch", "transformers", "bitsandbytes", "peft"),
    *("llama-cpp-python", "zeroconf", "requests", "watchdog", "pytest"),
]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    found = (re.match(r"([A-Za-z0-9_.-]+)==([^\s;]+)", line) for line in lines)
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


def test_the_engine_builds_the_version_that_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (gguf,) = project["optional-dependencies"]["gguf"]
    source = (ROOT / "deployment/setup/engine.py").read_text()
    (version,) = re.findall(r'^VERSION = "(.+)"$', source, re.MULTILINE)
    assert gguf == f"llama-cpp-python=={version}"
    assert pins("requirements.txt")["llama-cpp-python"] == version


@pytest.mark.parametrize("package", OWNERS_PACKAGES)
def test_requirements_pin_what_the_lock_pins(package):
    assert pins("requirements.txt")[package] == pins("constraints.txt")[package]


def test_the_lock_covers_every_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.match(r"[A-Za-z0-9_.-]+", line)[0].lower().replace("_", "-") for line in declared}
    assert names - {"orchestrator"} <= set(pins("constraints.txt"))


def test_requirements_build_llama_cpp_portably():
    assert "GGML_NATIVE=OFF" in (ROOT / "requirements.txt").read_text()
