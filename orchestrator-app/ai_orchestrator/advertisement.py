"""The desktop's advertisement in the networks at home, for phones that look for it (multicast DNS).

It says where the server listens, and as hints which household this is. It proves nothing: a phone believes the
signature of an answer. Covered: changes of address, suspend, two desktops of one name, networks without multicast.
"""

from __future__ import annotations

import ipaddress
import logging
import platform
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from orchestrator_relay.discovery.interfaces import InterfaceAddress
    from zeroconf import Zeroconf

API = "1"
"""Of the HTTP interface: what a client of another major version cannot talk to."""
MAX_ADDRESSES = 16
MAX_LABEL_BYTES = 48
"""A name with what distinguishes it stays below DNS' 63 bytes."""

_log = logging.getLogger(__name__)


class Advertisement:
    """
    Args:
        household: id of the household; a hint.
        version: of this program; a hint.
        bound: addresses on which the server listens, wildcards among them.
        port: the same for all of them.
    """

    def __init__(self, household: str, version: str, bound: Sequence[str], port: int) -> None:
        from orchestrator_relay.discovery.multicast_dns import MulticastDns

        self._properties = {"id": household, "ver": version, "api": API}
        self._bound, self._port = tuple(bound), port
        self._network = MulticastDns(self._register)

    def start(self) -> Self:
        self._network.start()
        return self

    def close(self) -> None:
        """Say goodbye; phones forget this server at once."""
        self._network.close()

    def _register(self, zeroconf: Zeroconf, own: tuple[InterfaceAddress, ...]) -> None:
        from orchestrator_relay.discovery.multicast_dns import SERVICE_TYPE
        from zeroconf import ServiceInfo

        addresses = advertised(self._bound, [interface.address for interface in own])
        if not addresses:
            return
        household = self._properties["id"]
        info = ServiceInfo(
            SERVICE_TYPE,
            f"{label(platform.node())}.{SERVICE_TYPE}",
            port=self._port,
            properties=self._properties,
            # Not the machine's own name: another program may answer for that, with other addresses.
            server=f"orchestrator-{household[:16]}.local.",
            parsed_addresses=addresses,
        )
        # Of two desktops with one name the second becomes "name-2".
        zeroconf.register_service(info, allow_name_change=True)
        _log.info("Advertised as %s at %s", info.name, ", ".join(addresses))


def advertised(bound: Iterable[str], own: Sequence[str]) -> list[str]:
    """Of this machine's addresses those on which the server listens.

    Args:
        bound: `0.0.0.0` and `::` stand for all of their family.
        own: in the order in which they are to be tried.
    """
    listening = [ipaddress.ip_address(bound_address.partition("%")[0]) for bound_address in bound]
    wildcards = {ip.version for ip in listening if ip.is_unspecified}
    return [
        text
        for text in own
        for address in [ipaddress.ip_address(text)]
        if address in listening or address.version in wildcards
    ][:MAX_ADDRESSES]


def label(name: str) -> str:
    """A machine's name as the first part of a service's: no dots or control characters, and short enough."""
    plain = re.sub(r"[.\x00-\x1f\x7f\\]", "-", name.partition(".")[0]).strip() or "orchestrator"
    return plain.encode("utf-8", "replace")[:MAX_LABEL_BYTES].decode("utf-8", "ignore")
