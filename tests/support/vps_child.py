"""A VPS tier in a process of its own, which tests may kill: its assistant, served by waitress.

    python -m support.vps_child DATA DESKTOP_URL

It prints its address. The desktop is called over HTTP instead of through a relay connection.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import requests
from ai_orchestrator.server import Server
from orchestrator_core.assistant import open_assistant
from orchestrator_core.settings import Settings
from orchestrator_core.tiers.http_tier import HttpTier
from support.scripted import BACKEND, ScriptedBackend

SAYS = " And the vps ends it."


def main(data: str, desktop_url: str) -> None:
    desktop = HttpTier("desktop", desktop_url, requests.Session(), exchange=lambda: True)
    desktop.look()
    desktop.watch(0.2)
    settings = Settings.model_validate(
        {"data": Path(data), "model": {"backend": BACKEND}, "server": {"port": 0}}
    )
    backend = ScriptedBackend(otherwise=SAYS, name="small")
    with open_assistant(settings, "vps", backend=backend, remote=desktop) as assistant:
        server = Server(settings, assistant).start()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
