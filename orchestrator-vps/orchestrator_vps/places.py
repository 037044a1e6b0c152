"""From where a desktop's credential is used: addresses, compared as far as they tell places apart."""

from __future__ import annotations

import ipaddress


def plain(address: str | None) -> str:
    """An address as it is told to others; "" for what is none."""
    try:
        return str(ipaddress.ip_address((address or "").partition("%")[0]))
    except ValueError:
        return ""


def same(address: str, other: str) -> bool:
    """Whether two addresses may be one machine's. An address that is not known may be anybody's; of IPv6 a
    machine has many, which change, in one network of 64 bits."""
    if not address or not other or address == other:
        return True
    first, second = ipaddress.ip_address(address), ipaddress.ip_address(other)
    return first.version == second.version == 6 and first.packed[:8] == second.packed[:8]
