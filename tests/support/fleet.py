"""Desktop and VPS as real processes, enrolled with each other; on this host, or on hosts of a `Network`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import requests
from shared_context.storage.identity import new_id
from support import scripted
from support.command_line import orchestrator, run
from support.namespaces import Host
from support.nginx import Nginx
from support.ports import free_port
from support.stream_client import Seen, StreamClient
from support.tier_process import TierProcess

KEY = "key-of-the-phone"
DESKTOP_PORT, VPS_PORT, NGINX_PORT = 5000, 8001, 443
CONNECT_S = 30.0


class Fleet:
    """One desktop, one VPS.

    with Fleet(folder, desktop="Hello from home.", vps="Hello from outside.") as fleet:
        fleet.connect()
        fleet.ask("Who are you?").done["tier"]

    Args:
        desktop, vps: the model of each: what a `scripted` backend reads, or a GGUF file.
        hosts: where they run; None: both here, on free ports of loopback.
        desktop_listens: its address; beyond loopback it wants `KEY`, or a paired device.
        behind_nginx: the VPS is reached through nginx with TLS, as on a real one.
        settings: further environment of both (`ORCHESTRATOR_RELAY__SETTLE_S`, ...).
    """

    def __init__(
        self,
        folder: Path,
        *,
        desktop: str = "echo",
        vps: str = "echo",
        hosts: tuple[Host, Host] | None = None,
        behind_nginx: bool = False,
        desktop_listens: str = "127.0.0.1",
        settings: dict[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._settings = settings or {}
        desktop_host, vps_host = hosts or (None, None)
        self._stack = ExitStack()
        # The desktop listens on loopback only, wherever it runs, unless a test says otherwise: it opens no port.
        desktop_port = free_port() if hosts is None else DESKTOP_PORT
        vps_port = free_port() if hosts is None else VPS_PORT
        outside = "127.0.0.1" if vps_host is None else vps_host.address
        vps_address = "127.0.0.1" if behind_nginx else outside
        self.desktop_url = f"http://127.0.0.1:{desktop_port}"
        self.vps_url = f"http://{vps_address}:{vps_port}"
        self.nginx: Nginx | None = None
        if behind_nginx:
            nginx_port = free_port() if hosts is None else NGINX_PORT
            self.nginx = Nginx(folder / "nginx", (outside, nginx_port), vps_port, vps_host)
        self.url = self.nginx.url if self.nginx else self.vps_url
        """Where a phone finds the VPS."""
        self.desktop_env = self._environment("desktop", desktop)
        if desktop_listens != "127.0.0.1":
            self.desktop_env["ORCHESTRATOR_API_KEY"] = KEY
            if desktop_host is not None:
                self.desktop_env["ORCHESTRATOR_ALLOWED_HOSTS"] = desktop_host.address
        self.vps_env = {**self._environment("vps", vps), "ORCHESTRATOR_API_KEY": KEY}
        self.vps_env["ORCHESTRATOR_ALLOWED_HOSTS"] = outside
        self.desktop = TierProcess(
            ["serve", "--host", desktop_listens, "--port", str(desktop_port)],
            self.desktop_env,
            folder / "desktop.log",
            ("127.0.0.1", desktop_port),
            desktop_host,
        )
        self.vps = TierProcess(
            ["vps", "serve", "--host", vps_address, "--port", str(vps_port)],
            self.vps_env,
            folder / "vps.log",
            (vps_address, vps_port),
            vps_host,
        )

    @property
    def client(self) -> StreamClient:
        """Of the VPS, as a phone is."""
        return StreamClient(self.url, key=KEY, verify=self.trusted)

    @property
    def trusted(self) -> str | bool:
        """What vouches for the VPS, for `requests`."""
        return str(self.nginx.certificate) if self.nginx else True

    def ask(self, message: str, **fields: Any) -> Seen:
        return self.client.ask({"message": message, "message_id": new_id(), **fields})

    def connect(self, url: str | None = None) -> None:
        """Enrol the desktop with the VPS and wait until questions go through.

        Args:
            url: where the desktop finds the VPS, if not where phones do.
        """
        code = orchestrator(self.vps_env, "vps", "code").stdout.split()[-1]
        proof = ["--fingerprint", self.nginx.fingerprint] if self.nginx else ["--insecure"]
        command = ["vps", "enroll", url or self.url, code, *proof]
        done = run(self.desktop.command_line(command), self.desktop_env)
        assert done.returncode == 0, done.stdout + done.stderr
        self.wait_for_tier("desktop")

    def wait_for_tier(self, tier: str, timeout_s: float = CONNECT_S) -> None:
        """Until questions to the VPS are answered by this tier."""
        ready = (lambda state: state) if tier == "desktop" else (lambda state: not state)
        wait_until(lambda: ready(self.desktop_is_there()), f"the {tier} should answer", timeout_s)

    def desktop_is_there(self) -> bool:
        desktop = self.get("/info").json()["relay"]["desktop"]
        return bool(desktop and desktop["reachable"] and desktop["ready"])

    def get(self, path: str, url: str | None = None, tier: str = "auto") -> requests.Response:
        headers = {"Authorization": f"Bearer {KEY}", "X-Tier": tier}
        return requests.get((url or self.url) + path, headers=headers, timeout=30, verify=self.trusted)

    def post(self, path: str, body: dict[str, Any]) -> requests.Response:
        headers = {"Authorization": f"Bearer {KEY}"}
        return requests.post(self.url + path, json=body, headers=headers, timeout=30, verify=self.trusted)

    def delete(self, path: str, tier: str = "auto") -> requests.Response:
        headers = {"Authorization": f"Bearer {KEY}", "X-Tier": tier}
        return requests.delete(self.url + path, headers=headers, timeout=30, verify=self.trusted)

    def history(self, url: str, conversation: str = "default") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/conversations/{conversation}", url).json()["history"]
        return found

    def __enter__(self) -> Self:
        self._stack.enter_context(self.desktop)
        self._stack.enter_context(self.vps)
        if self.nginx is not None:
            self._stack.enter_context(self.nginx)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _environment(self, name: str, model: str) -> dict[str, str]:
        home = self._folder / name
        home.mkdir(parents=True, exist_ok=True)
        engine = {} if model.endswith(".gguf") else scripted.ENVIRONMENT
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ORCHESTRATOR_DATA": str(home / "data"),
            "ORCHESTRATOR_MODEL": model,
            **engine,
            **self._settings,
        }


def script(path: Path, text: str, *, token_delay_s: float = 0.0, **fields: Any) -> str:
    """A model that says `text` to everything; for `Fleet(desktop=...)`."""
    path.write_text(json.dumps({"token_delay_s": token_delay_s, "otherwise": {"text": text}, **fields}))
    return str(path)


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        try:
            if condition():
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{what}, but did not within {timeout_s:g} s")
