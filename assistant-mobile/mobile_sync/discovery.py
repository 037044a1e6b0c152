"""Where the desktop may be: candidates from hints.

Hints are what multicast DNS says, addresses of the settings, and addresses at which it was seen before. Anybody on a
network can say anything there, so a hint is only a reason to knock: a candidate counts when a probe has proved, with
the household's key, who answers (`roads`).

Covered: floods of advertisements, IPv6, a network that changes.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import urlsplit

from orchestrator_relay.discovery.interfaces import InterfaceAddress, interface_addresses, url_of
from orchestrator_relay.discovery.multicast_dns import SERVICE_TYPE, MulticastDns
from zeroconf import ServiceBrowser, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceInfo

STATIC_PEERS = "ORCHESTRATOR_PEERS"
"""Environment variable: URLs of the desktop, separated by commas."""

RESOLVE_MS = 3000
RESOLVE_AGAIN_S = 2.0
MAX_SERVICES = 32
MAX_CANDIDATES = 32
API = "1"

Source = Literal["known", "static", "multicast"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A URL at which the desktop may answer.

    Args:
        url: scheme, address and port, without a slash at the end.
        source: who says so.
    """

    url: str
    source: Source


class Discovery:
    """Looks around from `start` to `close`. Safe from any thread.

    Args:
        household: id; advertisements of other households are left alone. None: all are heard.
        static: URLs of the settings; those of `ORCHESTRATOR_PEERS` are added.
        known: URLs at which the desktop was seen before, the latest first; asked each time.
        changed: called when an advertisement or the network changed, from another thread.
        addresses: lists this machine's addresses.
    """

    def __init__(
        self,
        household: str | None,
        *,
        static: Iterable[str] = (),
        known: Callable[[], Iterable[str]] = lambda: (),
        changed: Callable[[], None] = lambda: None,
        addresses: Callable[[], tuple[InterfaceAddress, ...]] = interface_addresses,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._household = household
        self._static = [*static, *static_peers(environ)]
        self._known = known
        self._changed = changed
        self._lock = threading.Lock()
        self._advertised: dict[str, list[str]] = {}
        self._network = MulticastDns(self._joined, addresses)

    def start(self) -> Self:
        self._network.start()
        return self

    def close(self) -> None:
        self._network.close()

    def candidates(self) -> list[Candidate]:
        """All hints, without repetition: addresses seen before, then advertised ones, then those of the settings. Asks nobody."""
        with self._lock:
            advertised = [url for urls in self._advertised.values() for url in urls]
        hints: dict[str, Source] = {}
        sources: tuple[tuple[Source, Iterable[str]], ...] = (
            ("known", self._known()),
            ("static", self._static),
            ("multicast", advertised),
        )
        for source, urls in sources:
            for url in urls:
                hints.setdefault(url.rstrip("/"), source)
        return [Candidate(url, source) for url, source in hints.items()][:MAX_CANDIDATES]

    # Multicast DNS

    def _joined(self, zeroconf: Zeroconf, own: tuple[InterfaceAddress, ...]) -> None:
        with self._lock:
            self._advertised.clear()
        ServiceBrowser(zeroconf, SERVICE_TYPE, handlers=[self._heard])
        self._changed()

    def _heard(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Removed:
            with self._lock:
                self._advertised.pop(name, None)
            self._changed()
            return
        with self._lock:
            if name not in self._advertised and len(self._advertised) >= MAX_SERVICES:
                return
            self._advertised.setdefault(name, [])
        if zeroconf.loop is not None:
            asyncio.run_coroutine_threadsafe(self._resolve(zeroconf, name), zeroconf.loop)

    async def _resolve(self, zeroconf: Zeroconf, name: str) -> None:
        info = AsyncServiceInfo(SERVICE_TYPE, name)
        while not await info.async_request(zeroconf, RESOLVE_MS):
            # Packets are lost; a service that is gone for good says goodbye, or its record expires.
            await asyncio.sleep(RESOLVE_AGAIN_S)
            if zeroconf.done or name not in self._advertised:
                return
        urls = self._urls(info)
        with self._lock:
            if name not in self._advertised or self._advertised[name] == urls:
                return
            self._advertised[name] = urls
        self._changed()

    def _urls(self, info: AsyncServiceInfo) -> list[str]:
        hints = info.decoded_properties
        if self._household not in (None, hints.get("id", self._household)) or hints.get("api", API) != API:
            return []
        port = info.port or 0
        return [
            url_of(address, port) for address in info.parsed_addresses() if port and _may_be_knocked(address)
        ]


def static_peers(environ: Mapping[str, str]) -> list[str]:
    """The URLs of `ORCHESTRATOR_PEERS`; `host:port` means plain HTTP. What is no URL is logged and left out."""
    peers = []
    for text in environ.get(STATIC_PEERS, "").split(","):
        if not text.strip():
            continue
        url = text.strip() if "://" in text else f"http://{text.strip()}"
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if usable:
            peers.append(url.rstrip("/"))
        else:
            _log.warning(
                "%s: %r is no address of a server; write http://192.168.1.20:5000", STATIC_PEERS, text[:80]
            )
    return peers


def _may_be_knocked(address: str) -> bool:
    """An advertisement may not send us to ourselves, to many, or to an address without its link."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    linked = parsed.version == 6 and parsed.is_link_local
    return not (parsed.is_loopback or parsed.is_multicast or parsed.is_unspecified or linked)
