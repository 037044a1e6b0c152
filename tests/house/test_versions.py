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


def test_what_a_vps_installs_is_locked_by_hash_in_the_versions_of_the_constraints():
    """After a change of dependencies: `make lock`, or `.venv/bin/python deployment/lock.py vps`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["vps"],
    ]
    names = {re.match(r"[A-Za-z0-9_.-]+", line)[0].lower().replace("_", "-") for line in declared}
    sources = pins("deployment/vps/source-requirements.txt")
    locked = pins("deployment/vps/requirements.txt") | sources
    assert names <= set(locked)
    known = pins("constraints.txt")
    assert {name: locked[name] for name in locked if name in known} == {
        name: known[name] for name in locked if name in known
    }


@pytest.mark.parametrize("name", ["requirements.txt", "source-requirements.txt", "build-requirements.txt"])
def test_every_package_of_a_lock_has_hashes(name):
    lines = (ROOT / "deployment/vps" / name).read_text().replace("\\\n", " ").splitlines()[1:]
    assert lines
    assert all(
        re.fullmatch(r"\S+==\S+( ; platform_machine == \"\w+\")?(\s+--hash=sha256:[0-9a-f]{64})+", line)
        for line in lines
    )
