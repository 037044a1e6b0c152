"""Installs Orchestrator into `.venv`, beside this repository's files.

    python3 deployment/setup desktop     what the desktop needs with GGUF models (no torch)
    python3 deployment/setup dev         everything, for tests and training
    python3 deployment/setup vps --venv DIR   the VPS tier, copied into DIR so that it needs no repository
    python3 deployment/setup llama-source     fetch llama.cpp's source (its converters), print its folder

Standard library only: it runs before anything is installed. Safe to repeat and to
interrupt; a second run finds what is there and takes a moment.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "error: Orchestrator needs Python 3.11 or newer; this is "
        + sys.version.split()[0]
        + ".\n       Install a newer one, then: make run PYTHON=/path/to/python3.11"
    )

import argparse
import os
from pathlib import Path

import console
import engine
import environment
import fetched

ROOT = Path(__file__).resolve().parents[2]

PROFILES = {
    "desktop": ["desktop", "mcp"],
    "dev": ["dev"],
    "vps": ["vps"],
}
"""Profile to the extras of pyproject.toml it installs."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="setup", description=__doc__.splitlines()[0])
    parser.add_argument("profile", choices=[*sorted(PROFILES), "llama-source"])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument(
        "--engine",
        choices=engine.BUILD_NAMES,
        help="use this llama.cpp build instead of the fastest one that proves itself",
    )
    parser.add_argument("--no-gpu", action="store_true", help="do not try the CUDA build")
    parser.add_argument(
        "--wheelhouse",
        type=Path,
        help="folder of packages to look in first; a llama-cpp-python wheel there saves compiling",
    )
    options = parser.parse_args()
    if options.profile == "llama-source":
        return _llama_source()
    if options.wheelhouse:
        # As a URL, because pip separates several by spaces.
        links = [os.environ.get("PIP_FIND_LINKS", ""), options.wheelhouse.resolve().as_uri()]
        os.environ["PIP_FIND_LINKS"] = " ".join(filter(None, links))
    # On a server: copied, and nothing but what was locked.
    locked = options.profile == "vps"
    lock = ROOT / "deployment/vps/requirements.txt" if locked else None
    build_lock = ROOT / "deployment/vps/build-requirements.txt" if locked else None
    try:
        venv = environment.ensure(options.venv)
        environment.install(
            venv, ROOT, options.profile, PROFILES[options.profile], editable=not locked, lock=lock
        )
        engine.ensure(
            venv,
            ROOT,
            wanted=options.engine,
            wheelhouse=options.wheelhouse,
            gpu=not options.no_gpu,
            build_lock=build_lock,
        )
        if options.profile == "dev":
            fetched.fetch(environment.interpreter(venv), venv / "setup-fetched.log")
    except console.SetupError as error:
        console.failure(error)
        return 1
    except KeyboardInterrupt:
        console.say("interrupted; run the same command again to go on")
        return 130
    return 0


def _llama_source() -> int:
    try:
        folder = fetched.fetch_llama_source(Path(sys.executable))
    except console.SetupError as error:
        console.failure(error)
        return 1
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
