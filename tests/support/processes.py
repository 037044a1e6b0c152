"""What other processes are, while they come and go."""

from __future__ import annotations

from contextlib import suppress

import psutil

ENGINE = "orchestrator_core.engine.worker"
"""An argument of every engine process."""


def children(process: psutil.Process) -> list[tuple[psutil.Process, list[str]]]:
    """Its children and their command lines, without those that end between being listed and being asked."""
    found = []
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            found.append((child, child.cmdline()))
    return found
