"""Writes the locks: `make lock`; with the word `vps` only those of the VPS.

`constraints.txt`: the versions installed in this environment, as pip constraints. Left out are this project itself, pip's own
tools, and local version tags ("+cpu"), so that the same file fits CPU and GPU builds.

`deployment/vps/requirements.txt`, `build-requirements.txt`: what a VPS installs, and what it compiles the engine with, with the hashes of
the wheels for every Python and processor that deploy_vps.sh supports. pip resolves them; nothing is downloaded but metadata.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = {"orchestrator", "pip", "setuptools", "wheel"}
PYTHONS = ("3.11", "3.12", "3.13")
PROCESSORS = ("x86_64", "aarch64")
LIBC = (
    *(f"manylinux_2_{minor}" for minor in range(35, 4, -1)),
    "manylinux2014",
    "manylinux2010",
    "manylinux1",
)
"""Ubuntu 22.04 has glibc 2.35, the others newer ones."""
BUILD = ("scikit-build-core[pyproject]>=0.9.2", "cmake>=3.21", "ninja")


def constraints() -> list[str]:
    """One sorted `name==version` line per installed distribution."""
    pins = {}
    for installed in distributions():
        name = installed.metadata["Name"].lower().replace("_", "-")
        if name not in SKIPPED:
            pins[name] = installed.version.split("+")[0]
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


def vps_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    engine = [line for line in distribution("llama_cpp_python").requires or () if "extra ==" not in line]
    needed = [*project["build-system"]["requires"], *project["project"]["dependencies"], *engine]
    return [*needed, *project["project"]["optional-dependencies"]["vps"]]


def hashed(requirements: list[str]) -> list[str]:
    """`name==version` with the hash of each wheel that one of the supported machines would install.

    Raises:
        subprocess.CalledProcessError: pip finds no wheel.
    """
    hashes: dict[str, dict[str, set[str]]] = {}
    for python in PYTHONS:
        for processor in PROCESSORS:
            here = {"python_version": python, "platform_machine": processor}
            parsed = map(Requirement, requirements)
            wanted = [str(line) for line in parsed if line.marker is None or line.marker.evaluate(here)]
            for name, sha256 in _resolved(wanted, python, processor):
                hashes.setdefault(name, {}).setdefault(processor, set()).add(sha256)
    return [_locked(name, by_processor) for name, by_processor in sorted(hashes.items())]


def _locked(name: str, hashes: dict[str, set[str]]) -> str:
    """
    Args:
        hashes: of the wheels for each processor that has it.
    """
    only = f' ; platform_machine == "{next(iter(hashes))}"' if len(hashes) < len(PROCESSORS) else ""
    return " \\\n".join(
        [name + only, *(f"    --hash=sha256:{sha256}" for sha256 in sorted(set().union(*hashes.values())))]
    )


def _resolved(requirements: list[str], python: str, processor: str) -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")
        subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
                *("--only-binary", ":all:", "--python-version", python, "--target", folder),
                *(f"--platform={libc}_{processor}" for libc in LIBC),
                *("--report", str(report), "-c", str(ROOT / "constraints.txt"), *requirements),
            ],
            check=True,
            stdout=sys.stderr,
        )
        items = json.loads(report.read_text())["install"]
    return [
        (
            f"{item['metadata']['name'].lower().replace('_', '-')}=={item['metadata']['version']}",
            item["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for item in items
    ]


def write(path: Path, lines: list[str], purpose: str) -> None:
    partial = path.with_name(f"{path.name}.new")
    partial.write_text("\n".join([f"# Written by `make lock`: {purpose}", *lines]) + "\n")
    partial.replace(path)


if __name__ == "__main__":
    if sys.argv[1:] != ["vps"]:
        write(ROOT / "constraints.txt", constraints(), "the versions everything was tested with.")
    vps = ROOT / "deployment/vps"
    write(vps / "requirements.txt", hashed(vps_requirements()), "what a VPS installs.")
    write(vps / "build-requirements.txt", hashed(list(BUILD)), "what compiles the engine there.")
