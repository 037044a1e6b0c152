"""The commands of this tier: `orchestrator vps serve`, and what belongs to it.

`COMMANDS` is found through the entry point group `orchestrator.vps_commands`; nothing is imported
before a command is chosen.
"""

from __future__ import annotations

COMMANDS = {
    "serve": ("orchestrator_vps.cli.serve:serve", "Start the VPS server."),
    "code": ("orchestrator_vps.cli.desktops:code", "Make a code that enrols one desktop."),
    "desktops": ("orchestrator_vps.cli.desktops:desktops", "List the enrolled desktops."),
    "revoke": ("orchestrator_vps.cli.desktops:revoke", "Refuse a desktop from now on."),
}
"""Name, where it lives, one line of help (the same line as the command's own)."""
