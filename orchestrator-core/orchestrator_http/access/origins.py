"""Which names this server answers to, and which web pages may call it.

Covered: DNS rebinding (a foreign name that resolves to this machine: the Host header is
checked) and foreign pages calling from a browser (the Origin header is checked); those that
the owner allows get the headers of `cors`.
Not covered: a caller that is not a browser and lies about both; that is the API key's job.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from orchestrator_core.errors import Forbidden, InvalidRequest
from orchestrator_core.settings import ServerSettings
from orchestrator_core.web_origin import WEB_SCHEMES, WebOrigin, parse_pattern


class HostGuard:
    """Checks Host and Origin against the names of this server.

    Args:
        bind_host: the address the server listens on. A wildcard (0.0.0.0, ::, *) stands for
            this machine's own addresses, never for every name.
        allowed: further names, without port (`settings.server.allowed_hosts`).
        origins: patterns of pages that may call besides our own (`settings.server.allowed_origins`).
        own_addresses: lists this machine's addresses; asked only for an address not known yet.
    """

    def __init__(
        self,
        bind_host: str,
        allowed: Iterable[str] = (),
        *,
        origins: Iterable[str] = (),
        own_addresses: Callable[[], set[str]] | None = None,
    ) -> None:
        self._wildcard = _is_wildcard(bind_host)
        self._names = {"localhost"} | {_plain(name) for name in allowed}
        if not self._wildcard:
            self._names.add(_plain(bind_host))
        self._origins = [parse_pattern(origin) for origin in origins]
        self._own_addresses = own_addresses or machine_addresses

    @classmethod
    def of(cls, server: ServerSettings) -> HostGuard:
        """The one of a server with these settings."""
        return cls(server.host, server.allowed_hosts, origins=server.allowed_origins)

    def check(self, host: str | None, origin: str | None) -> str | None:
        """
        Returns:
            The origin of a foreign page that is allowed to call; None: our own page, or no page.

        Raises:
            InvalidRequest: no Host header, or one that is not a name with an optional port.
            Forbidden: a name that is not ours, or a page of another origin.
        """
        if not host:
            raise InvalidRequest("The request has no Host header.")
        name, _ = split_host(host)
        if not self._knows(name):
            raise Forbidden(
                f"This server does not answer to the name {name[:80]!r}.",
                code="foreign_host",
                hint="Use localhost or this machine's address, or add the name to server.allowed_hosts "
                "(ORCHESTRATOR_ALLOWED_HOSTS).",
            )
        if origin is None or same_origin(origin, host):
            return None
        if not self._allows(origin):
            raise Forbidden(
                f"Pages of {origin[:80]!r} may not call this server.",
                code="foreign_origin",
                hint="Add the origin to server.allowed_origins (ORCHESTRATOR_ALLOWED_ORIGINS), or open the page that "
                "this server shows itself.",
            )
        return origin

    def _allows(self, origin: str) -> bool:
        try:
            page = WebOrigin.parse(origin)
        except ValueError:
            return False
        return any(pattern.allows(page) for pattern in self._origins)

    def _knows(self, name: str) -> bool:
        if name in self._names or is_loopback(name):
            return True
        return self._wildcard and _is_address(name) and name in self._own_addresses()


def split_host(host: str) -> tuple[str, str | None]:
    """`name[:port]` as lower-case name without brackets or final dot, and port.

    Raises:
        InvalidRequest: anything else.
    """
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if not name or parts.path or parts.query or parts.fragment or "@" in host:
        raise InvalidRequest(f"The Host header {host[:80]!r} is not a name with an optional port.")
    return _plain(name), None if port is None else str(port)


def same_origin(origin: str, host: str) -> bool:
    """Whether a page of `origin` came from the server it now calls as `host`."""
    try:
        page = WebOrigin.parse(origin)
    except ValueError:
        return False
    default = WEB_SCHEMES.get(page.scheme)
    name, port = split_host(host)
    return default is not None and (page.host, page.port) == (name, port or default)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    name = _plain(host)
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def machine_addresses() -> set[str]:
    """Every IP address of this machine's interfaces."""
    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    return {
        _plain(address.address.partition("%")[0])
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in families
    }


def _plain(name: str) -> str:
    return name.strip().strip("[]").rstrip(".").lower()


def _is_wildcard(host: str) -> bool:
    name = _plain(host)
    if name in ("", "*"):
        return True
    try:
        return ipaddress.ip_address(name).is_unspecified
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
