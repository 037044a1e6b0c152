"""Writes the locks: `make lock`; with the word `vps` only those of the VPS.

`constraints.txt`: the versions installed in this environment, as pip constraints. Left out are this project itself, pip's own
tools, and local version tags ("+cpu"), so that the same file fits CPU and GPU builds.

`deployment/vps/requirements.txt`, `build-requirements.txt`: what a VPS installs, and what it compiles the engine with, with the hashes of
the wheels for every Python and processor that deploy_vps.sh supports. `source-requirements.txt`: the packages that are published as source
only, with the hash of the source. pip resolves them; nothing is downloaded but metadata and those sources.
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
SOURCES = ("http-ece",)
"""Published as source only: pure Python, built by the setuptools of the lock."""
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


def hashed(requirements: list[str], wheels: Path | None = None) -> list[str]:
    """`name==version` with the hash of each wheel that one of the supported machines would install.

    Args:
        wheels: folder with wheels of what is published as source only; they are not part of the result.

    Raises:
        subprocess.CalledProcessError: pip finds no wheel.
    """
    hashes: dict[str, dict[str, set[str]]] = {}
    for python in PYTHONS:
        for processor in PROCESSORS:
            here = {"python_version": python, "platform_machine": processor}
            parsed = map(Requirement, requirements)
            wanted = [str(line) for line in parsed if line.marker is None or line.marker.evaluate(here)]
            for name, sha256 in _resolved(wanted, python, processor, wheels):
                if name.partition("==")[0] in SOURCES:
                    continue
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


def _resolved(
    requirements: list[str], python: str, processor: str, wheels: Path | None
) -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        return _would_install(
            *("--only-binary", ":all:", "--python-version", python, "--target", folder),
            *(f"--platform={libc}_{processor}" for libc in LIBC),
            *(() if wheels is None else ("--find-links", str(wheels))),
            *requirements,
        )


def _sources(wheels: Path) -> list[str]:
    """The locked sources. Their wheels, which pip needs to resolve what depends on them, are put into `wheels`."""
    pip(
        *("wheel", "--quiet", "--no-deps", "-w", str(wheels)),
        *("-c", str(ROOT / "constraints.txt"), *SOURCES),
    )
    sources = _would_install("--no-deps", "--no-binary", ":all:", *SOURCES)
    return [
        _locked(name, {processor: {sha256} for processor in PROCESSORS}) for name, sha256 in sorted(sources)
    ]


def _would_install(*arguments: str) -> list[tuple[str, str]]:
    """`name==version` and SHA-256 of each file that pip would install."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")
        pip(
            *("install", "--quiet", "--dry-run", "--ignore-installed", "--report", str(report)),
            *("-c", str(ROOT / "constraints.txt"), *arguments),
        )
        items = json.loads(report.read_text())["install"]
    return [
        (
            f"{item['metadata']['name'].lower().replace('_', '-')}=={item['metadata']['version']}",
            item["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for item in items
    ]


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True, stdout=sys.stderr)  # noqa: S603


def write(path: Path, lines: list[str], purpose: str) -> None:
    partial = path.with_name(f"{path.name}.new")
    partial.write_text("\n".join([f"# Written by `make lock`: {purpose}", *lines]) + "\n")
    partial.replace(path)


if __name__ == "__main__":
    if sys.argv[1:] != ["vps"]:
        write(ROOT / "constraints.txt", constraints(), "the versions everything was tested with.")
    vps = ROOT / "deployment/vps"
    with tempfile.TemporaryDirectory() as built:
        sources = _sources(Path(built))
        wheels = hashed(vps_requirements(), Path(built))
    write(vps / "source-requirements.txt", sources, "what a VPS installs from source.")
    write(vps / "requirements.txt", wheels, "what a VPS installs.")
    write(vps / "build-requirements.txt", hashed(list(BUILD)), "what compiles the engine there.")
