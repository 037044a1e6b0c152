"""Commands named in messages, as they work where they are typed: in any folder, whatever the PATH holds.

Hints are written short and in backticks (`` `orchestrator doctor` ``, `` `make setup` ``). Whoever shows one to a
person at a shell completes it with `runnable`. A hint never names this distribution to pip: by that name the
package index has somebody else's package.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

DISTRIBUTION = "orchestrator"
IN_BACKTICKS = re.compile(r"`([^`\n]+)`")


def runnable(text: str, options: Callable[[Sequence[str]], Sequence[str]] = lambda words: ()) -> str:
    """`text` with its commands in backticks completed.

    Args:
        options: what a command of ours, given as its words, must be told besides (such as `--data`).
    """
    return IN_BACKTICKS.sub(lambda match: f"`{_completed(match[1], options)}`", text)


def program(name: str) -> str:
    """How the program `name` of this environment is called: its path, unless the PATH leads there anyway."""
    own = shutil.which(name, path=str(Path(sys.executable).parent))
    first = shutil.which(name)
    if own is None or (first is not None and Path(first).samefile(own)):
        return name
    return own


def checkout() -> Path | None:
    """The repository that this environment was installed from, where it still is."""
    installed = importlib.metadata.distributions(name=DISTRIBUTION, path=[sysconfig.get_path("purelib")])
    origin = next((item.read_text("direct_url.json") for item in installed), None)
    url = urlsplit(json.loads(origin or "{}").get("url", ""))
    folder = Path(url2pathname(url.path))
    return folder if url.scheme == "file" and (folder / "pyproject.toml").is_file() else None


def extras() -> list[str]:
    """The optional parts of this program, as pyproject.toml names them."""
    return importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []


def pip_install(extra: str) -> list[str]:
    """The command that adds an optional part to the environment which runs now."""
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    source = checkout()
    if source is None:
        return [*pip, *_requirements(extra)]
    if extra == "gguf":  # compiled for this machine, and proved
        setup = source / "deployment" / "setup"
        return [sys.executable, str(setup), "desktop", "--venv", sys.prefix]
    return [*pip, "-c", str(source / "constraints.txt"), "-e", f"{source}[{extra}]"]


def _completed(command: str, options: Callable[[Sequence[str]], Sequence[str]]) -> str:
    name, _, rest = command.partition(" ")
    if name == "make" and (source := checkout()) is not None and "-C" not in rest:
        return f"make -C {shlex.quote(str(source))} {rest}"
    if name not in ("orchestrator", "hf") or not rest:
        return command
    more = options(shlex.split(rest)) if name == "orchestrator" else ()
    return " ".join([shlex.quote(program(name)), rest, *map(shlex.quote, more)])


def _requirements(extra: str) -> list[str]:
    """What the optional part consists of; one that names another part of this program stands for its packages."""
    requirements: list[str] = []
    for line in importlib.metadata.requires(DISTRIBUTION) or ():
        requirement, _, marker = line.partition(";")
        if f'extra == "{extra}"' not in marker.replace("'", '"'):
            continue
        part = re.fullmatch(rf"{DISTRIBUTION}\[([\w,-]+)\]\s*", requirement)
        inner = [_requirements(name) for name in part[1].split(",")] if part else [[requirement.strip()]]
        requirements.extend(name for names in inner for name in names)
    return requirements
