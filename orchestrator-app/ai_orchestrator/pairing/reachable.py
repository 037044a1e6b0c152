"""The addresses under which a device can reach this server: each was connected to before it is named.

Asked from the address itself, not from the loopback, and believed only when this household answers. Not covered: a
firewall that lets this machine in and others not; nothing on this machine can tell (docs/pairing.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_relay.discovery.interfaces import InterfaceAddress, interface_addresses, url_of
from orchestrator_relay.identity.pairing import MAX_URLS

if TYPE_CHECKING:
    from ai_orchestrator.vps_link.credentials import VpsCredential

PROBE_S = 2.0
MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Bound:
    """Where the server listens."""

    addresses: tuple[str, ...] = ()
    port: int = 0


def proved_urls(
    bound: Bound,
    household: str,
    addresses: Callable[[], tuple[InterfaceAddress, ...]] = interface_addresses,
    *,
    answers: Callable[[str, int, str], bool] | None = None,
) -> list[str]:
    """Networks at home first, then tunnels, then bridges of containers; at most `MAX_URLS`.

    Args:
        household: id that has to answer.
    """
    from ai_orchestrator.advertisement import advertised

    candidates = advertised(bound.addresses, [address.address for address in addresses()])
    return [
        url_of(proved_address, bound.port)
        for proved_address in _proved(candidates, bound.port, household, answers or _answers)
    ][:MAX_URLS]


def vps_of(data: Path) -> VpsCredential | None:
    """The VPS, when this desktop is connected with it now and its source of truth."""
    from ai_orchestrator.vps_link import credentials, link_state

    credential = credentials.read(data)
    if credential is None or credential.role != "source" or link_state.read(data).phase != "ready":
        return None
    return credential


def _proved(
    candidates: Sequence[str], port: int, household: str, answers: Callable[[str, int, str], bool]
) -> Iterable[str]:
    if not candidates:
        return []
    with ThreadPoolExecutor(len(candidates), thread_name_prefix="own-address") as pool:
        proved = list(
            pool.map(lambda candidate_address: answers(candidate_address, port, household), candidates)
        )
    return [candidate for candidate, proof in zip(candidates, proved, strict=True) if proof]


def _answers(address: str, port: int, household: str) -> bool:
    connection = HTTPConnection(address, port, timeout=PROBE_S, source_address=(address, 0))
    try:
        connection.request("GET", "/household")
        answer = json.loads(connection.getresponse().read(MAX_BYTES))
        return isinstance(answer, dict) and answer.get("id") == household
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        connection.close()
