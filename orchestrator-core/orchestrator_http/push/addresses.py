"""Which push services may be reached.

Covered: whoever may subscribe names an address that this server will call. It must be https and lead to the public
internet, whatever its name resolves to and however often that changes: the address that was checked is the one
that is called. Redirects and proxies are not followed. What a service answers is shown to nobody but for its status.
Not covered: public addresses are called, so a subscriber can make this server send a small encrypted POST there.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from orchestrator_core.errors import InvalidRequest
from orchestrator_core.web_origin import WebOrigin

MAX_ENDPOINT_CHARS = 2048
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host; raises OSError."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of one subscription.

    Args:
        target: path and query, a secret of the subscriber.
        local: its origin is one that the owner allows, at any address.
    """

    origin: WebOrigin
    target: str
    local: bool

    @classmethod
    def parse(cls, text: str, local_services: Sequence[str] = ()) -> Self:
        """
        Args:
            local_services: origins that may be private, and without TLS.

        Raises:
            InvalidRequest: no such address, or one that may not be reached.
        """
        try:
            parts = urlsplit(text)
            origin = WebOrigin.parse(f"{parts.scheme}://{parts.netloc}")
        except ValueError as error:
            raise InvalidRequest(f"The endpoint is no web address: {error}.", param="endpoint") from None
        if not all("!" <= character <= "~" for character in text) or parts.fragment:
            raise InvalidRequest("The endpoint has characters that a URL cannot have.", param="endpoint")
        local = any(WebOrigin.parse(each) == origin for each in local_services)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        endpoint = cls(origin, target, local)
        if not local:
            endpoint._refuse_private()
        return endpoint

    @property
    def port(self) -> int:
        return int(self.origin.port)

    @property
    def audience(self) -> str:
        """Its origin as RFC 6454 writes it: without the scheme's own port."""
        host = f"[{self.origin.host}]" if ":" in self.origin.host else self.origin.host
        usual = self.port == {"http": 80, "https": 443}[self.origin.scheme]
        return f"{self.origin.scheme}://{host}" + ("" if usual else f":{self.port}")

    def addresses(self, resolve: Resolve) -> list[str]:
        """Where it may be called; empty when nothing of what its name stands for is allowed.

        Raises:
            OSError: the name cannot be resolved.
        """
        every = resolve(self.origin.host, self.port)
        return [address for address in every if self.local or is_public(address)]

    def _refuse_private(self) -> None:
        problem = None
        if self.origin.scheme != "https":
            problem = "it is not https"
        elif _is_address(self.origin.host) and not is_public(self.origin.host):
            problem = "its address is a private one"
        if problem is not None:
            raise InvalidRequest(
                f"The endpoint cannot be used: {problem}.",
                param="endpoint",
                hint="For a push service of your own, list its origin (scheme://host:port) in push.local_services.",
            )


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also where it wraps another one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = ipaddress.IPv4Address(ip.packed[-4:])
        if inner is not None:
            return is_public(str(inner))
        if ip.teredo is not None or ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast


def resolve(host: str, port: int) -> list[str]:
    """
    Raises:
        OSError: the name cannot be resolved.
    """
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("the name is no host name") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
