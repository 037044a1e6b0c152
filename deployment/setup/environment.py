"""The virtual environment and the Python packages in it, all but the engine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv as stdlib_venv
from collections.abc import Sequence
from pathlib import Path

from console import SetupError, run, say


def ensure(folder: Path) -> Path:
    """A working virtual environment at `folder`; one left half-made is made anew."""
    python = interpreter(folder)
    if python.exists() and _works(python):
        return folder
    if folder.exists() and any(folder.iterdir()):
        say(f"the environment in {folder} does not work; making it anew")
        shutil.rmtree(folder)
    say(f"making a Python {sys.version_info.major}.{sys.version_info.minor} environment in {folder}")
    try:
        stdlib_venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    except (subprocess.CalledProcessError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SetupError(
            f"cannot make a virtual environment: {error}",
            "On Debian and Ubuntu: sudo apt-get install python3-venv",
        ) from error
    return folder


def interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def cache() -> Path:
    """What is slow to make or fetch again; shared by every checkout of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orchestrator"


def install(
    venv: Path,
    root: Path,
    profile: str,
    extras: Sequence[str],
    *,
    editable: bool = True,
    lock: Path | None = None,
) -> None:
    """Install this repository with `extras`, unless exactly that is installed already.

    Args:
        editable: use the repository's files where they are; else copy them into the environment.
        lock: exactly these packages, by their hashes, instead of what `extras` and the constraints allow; those
            published as source only are in the file `source-requirements.txt` beside it.
    """
    stamp = venv / f"installed-{profile}.txt"
    wanted = fingerprint(root)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    requirement = f"{root}[{','.join(without_engine(extras))}]"
    pip = [interpreter(venv), "-m", "pip", "install", "--disable-pip-version-check"]
    commands = [[*pip, "-c", root / "constraints.txt", *(["-e"] if editable else []), requirement]]
    if lock is not None:
        locked = [*pip, "--no-deps", "--require-hashes"]
        # Built with the setuptools of the lock: alone, pip would fetch one that no hash vouches for. Older versions of pip would
        # rather run setup.py, which needs the package wheel.
        from_source = ["--use-pep517", "--no-build-isolation", "--no-binary", ":all:"]
        commands = [
            [*locked, "--only-binary", ":all:", "-r", lock],
            [*locked, *from_source, "-r", lock.with_name("source-requirements.txt")],
            [*pip, "--no-deps", "--no-build-isolation", root],
        ]
    for command in commands:
        run(
            command,
            label=f"installing the Python packages ({profile})",
            log=venv / "setup-packages.log",
        )
    stamp.write_text(wanted)


def without_engine(extras: Sequence[str]) -> list[str]:
    """`dev` names the gguf extra, whose package the engine step builds: use its parts."""
    return ["dev-tools" if extra == "dev" else extra for extra in extras]


def fingerprint(root: Path) -> str:
    """Changes when a reinstall is needed: dependencies, lock, Python version or place."""
    digest = hashlib.sha256(f"{sys.version}\n{root}\n".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def _works(python: Path) -> bool:
    check = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    result = subprocess.run([str(python), "-c", check], capture_output=True, check=False)  # noqa: S603
    return result.returncode == 0
