"""A desktop that waits for a device, and devices that ask, right ones and others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from ai_orchestrator.server import Server
from orchestrator_relay.discovery.interfaces import interface_addresses
from orchestrator_relay.identity.machine import Identity, PublicIdentity
from orchestrator_relay.identity.pairing import PairingKeys, PairingLink, PairingRequest, Statement
from support.desktop import listening

KEY = "k" * 32


@dataclass
class Waiting:
    server: Server

    def owner(self, method: str = "POST") -> requests.Response:
        return requests.request(
            method, f"{self.server.url}/pairing", headers={"Authorization": f"Bearer {KEY}"}, timeout=30
        )

    def begin(self) -> dict[str, Any]:
        response = self.owner()
        assert response.status_code == 201, response.text
        begun: dict[str, Any] = response.json()
        return begun

    def post(self, body: Any) -> requests.Response:
        return requests.post(f"{self.server.url}/pair", json=body, timeout=30)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.owner("GET").json()
        return state


@contextmanager
def waiting(data: Path) -> Iterator[Waiting]:
    """A desktop on all addresses of this machine."""
    with listening(data, host="*", api_key=KEY, advertise=False) as server:
        yield Waiting(server)


def body_of(statement: Statement) -> dict[str, str]:
    return {"statement": statement.text, "proof": statement.proof, "signature": statement.signature}


def asked(
    begun: dict[str, Any],
    *,
    device: Identity | None = None,
    household: PublicIdentity | None = None,
    name: str = "Pixel",
    kind: str = "phone",
    code: str | None = None,
) -> Statement:
    """What a device says that knows what the desktop showed.

    Args:
        code: it typed this one instead of scanning.
    """
    link = PairingLink.parse(begun["link"])
    keys = PairingKeys.of_secret(link.secret, link.household)
    if code is not None:
        keys = PairingKeys.of_code(code, link.household)
    device = device or Identity.create()
    request = PairingRequest(household or link.household, device.public, name, kind)
    return request.statement(keys.device, device)


def has_lan() -> bool:
    """Whether this machine has an address that others reach: without one no link can be made."""
    return bool(interface_addresses())
