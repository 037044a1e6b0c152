"""deploy_vps.sh on a booted Debian without network, and requests to what it installed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.container import Container
from support.debian_machine import SOURCE, WHEELS

BOOTED = [pytest.mark.slow, pytest.mark.container, pytest.mark.timeout(900)]
"""Marks of every test of a booted machine: whichever comes first waits for the boot."""

SCRIPT = f"{SOURCE}/orchestrator-vps/deploy_vps.sh"
INSTALL = f"PIP_NO_INDEX=1 {SCRIPT} --yes --wheelhouse {WHEELS}"
CERTIFICATE = "/etc/orchestrator/tls/certificate.pem"
BUILD_S = 300


def curl(vps: Container, path: str, *options: str, base: str = "https://127.0.0.1", key: bool = True) -> str:
    """Through nginx, trusting the machine's own certificate, with the clients' key."""
    line = ["curl --silent --show-error --max-time 60", f"--cacert {CERTIFICATE}", *options]
    if key:
        line.append(
            '-H "Authorization: Bearer $(sed s/ORCHESTRATOR_API_KEY=// /etc/orchestrator/secrets.env)"'
        )
    return vps.output(" ".join([*line, f"'{base}{path}'"]))


def post(vps: Container, path: str, body: dict[str, Any], *options: str) -> str:
    return curl(vps, path, "-H 'Content-Type: application/json'", f"--data '{json.dumps(body)}'", *options)


def ask(vps: Container, message: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(post(vps, "/chat", {"message": message, "max_tokens": 12}))
    return answer


def status_of(vps: Container, path: str) -> int:
    return int(curl(vps, path, "--output /dev/null --write-out '%{http_code}'"))


def history(vps: Container) -> list[str]:
    # A worker of nginx that ends after a reload may close what it has just accepted.
    answer = curl(vps, "/conversation", "--retry 2 --retry-all-errors")
    return [turn["content"] for turn in json.loads(answer)["history"]]
