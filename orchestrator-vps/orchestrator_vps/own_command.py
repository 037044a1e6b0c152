"""How this tier's own commands are called on this machine."""

from __future__ import annotations

import shlex
from pathlib import Path

WRAPPER = Path("/usr/local/bin/orchestrator-vps")
"""Installed by deploy_vps.sh; runs a command as the service's user, with its settings."""
DEPLOYED_DATA = Path("/var/lib/orchestrator")


def own_command(words: str, data: Path) -> str:
    """In backticks; on the machine that holds `data`."""
    if data.absolute() == DEPLOYED_DATA and WRAPPER.exists():
        return f"`sudo {WRAPPER.name} {words}`"
    program = "orchestrator"
    return f"`{program} vps {words} --data {shlex.quote(str(data.absolute()))}`"
