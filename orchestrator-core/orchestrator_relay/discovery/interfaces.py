"""The addresses of this machine by which others can reach it, the likeliest first.

What an interface is, the system says (flags, Linux' sysfs), never its name. Covered: loopback, interfaces that are
down, bridges of containers and virtual machines, tunnels.
Not covered: IPv6 addresses of one link (fe80::), which no URL can carry to another machine; virtual switches of
Windows, which look like any network there.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

Kind = Literal["lan", "vpn", "virtual"]
"""A network at home; a tunnel; a bridge that no cable or antenna belongs to."""

_SYSTEM = Path("/sys/class/net")
_ORDER: tuple[Kind, ...] = ("lan", "vpn", "virtual")


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """
    Args:
        address: IPv4 or IPv6, as `ipaddress` writes it, without a scope.
        index: the interface's number, as IPv6 multicast wants it.
    """

    address: str
    kind: Kind
    interface: str
    index: int

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address


def interface_addresses() -> tuple[InterfaceAddress, ...]:
    """All that others may reach, networks at home first, IPv4 before IPv6."""
    stats = psutil.net_if_stats()
    present = [
        InterfaceAddress(address, kind, name, index)
        for name, entries in psutil.net_if_addrs().items()
        if name in stats and stats[name].isup
        for kind in [_kind(name, frozenset(stats[name].flags.split(",")))]
        if kind is not None
        for index in [_index(name)]
        for address in {_usable(entry.address) for entry in entries if entry.family in _FAMILIES} - {None}
        if address is not None
    ]
    return tuple(
        sorted(present, key=lambda one: (_ORDER.index(one.kind), one.is_ipv6, one.index, one.address))
    )


def url_of(address: str, port: int, scheme: str = "http") -> str:
    """The URL of a server at this address; IPv6 goes into brackets."""
    return f"{scheme}://[{address}]:{port}" if ":" in address else f"{scheme}://{address}:{port}"


_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def _kind(name: str, flags: frozenset[str]) -> Kind | None:
    if "loopback" in flags:
        return None
    system = _SYSTEM / name
    if "pointopoint" in flags or (system / "tun_flags").exists():
        return "vpn"
    if (system / "bridge").exists() and not any((port / "device").exists() for port in _ports(system)):
        return "virtual"
    return "lan"


def _ports(system: Path) -> list[Path]:
    try:
        return [_SYSTEM / port.name for port in (system / "brif").iterdir()]
    except OSError:
        return []


def _usable(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if address.is_loopback or address.is_unspecified or (address.version == 6 and address.is_link_local):
        return None
    return str(address)


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0
