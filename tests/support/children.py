"""Real Python processes for tests that kill them, starve them or take their rights away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from shared_context.storage.database import Database


class Child:
    """A Python process that runs `code` with `sys.argv[1:] = arguments`; it can import what this
    one can.

    Leaving the block kills it. Its errors appear in the test's own output.
    """

    def __init__(self, code: str, *arguments: object) -> None:
        command = [sys.executable, "-u", "-c", textwrap.dedent(code), *map(str, arguments)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def line(self) -> str:
        """Wait for its next line; "" when it ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def rest(self) -> list[str]:
        """Wait until it ended; the lines not read yet."""
        assert self._process.stdout is not None
        lines = self._process.stdout.read().splitlines()
        self._process.wait()
        return lines

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def die_after_commits(database: Database, commits: int) -> None:
    """In a child: kill -9 itself when so many transactions are stored, before anyone is told."""
    left = commits

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    database.on_commit(count)
