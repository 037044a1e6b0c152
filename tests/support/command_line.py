"""The `orchestrator` command in processes of its own, for a fresh user with a scripted model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from support import scripted

COMMAND = [sys.executable, "-m", "ai_orchestrator.cli"]


def fresh_user(folder: Path, model: str = "echo") -> dict[str, str]:
    """The whole environment of somebody whose home is `folder` and whose model is a script."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ORCHESTRATOR_DATA": str(folder / "data"),
        **scripted.ENVIRONMENT,
        "ORCHESTRATOR_MODEL": model,
    }


def orchestrator(
    env: Mapping[str, str], *arguments: str, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; without `stdin` it is /dev/null."""
    return run([*COMMAND, *arguments], env, stdin=stdin)


def run(
    command: Sequence[str | Path],
    env: Mapping[str, str],
    *,
    stdin: str | None = None,
    cwd: Path | None = None,
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[str]:
    given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(
        command,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=cwd,
        **given,
    )  # type: ignore[call-overload]


@contextmanager
def serving(
    env: Mapping[str, str], *arguments: str, command: Sequence[str] = ("serve",), says_on: str = "stdout"
) -> Iterator[str]:
    """`orchestrator serve`, or another command that listens, on a free port; gives its address.

    Ended with Ctrl-C, twice: nothing is waited for.
    """
    server = subprocess.Popen(
        [*COMMAND, *command, "--port", "0", *arguments],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None and server.stderr is not None
    try:
        said = ""
        while "listens on " not in said:
            line = getattr(server, says_on).readline()
            assert line, f"The server ended: {said}{server.stderr.read()}"
            said += line
        yield said.split("listens on ")[1].split()[0]
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)
            server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
