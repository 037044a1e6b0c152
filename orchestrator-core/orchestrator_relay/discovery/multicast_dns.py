"""Multicast DNS on the networks at home, while their interfaces come, go and sleep (RFC 6762, 6763).

What both ends of a discovery need: the desktop registers its service, a phone browses for it. What is heard there is a
hint and nothing more; anybody on the network may say anything.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Self

from zeroconf import Error, IPVersion, Zeroconf

from orchestrator_relay.discovery.interfaces import InterfaceAddress, interface_addresses

SERVICE_TYPE = "_orchestrator._tcp.local."
POLL_S = 1.0
"""Seconds between looks at the interfaces."""
SLEPT_S = 30.0
"""With so much more time gone than waited, this machine was suspended, and others have forgotten it."""
RETRY_S = 30.0
"""Seconds after which a network that let us take no part is tried again."""

Joined = Callable[[Zeroconf, tuple[InterfaceAddress, ...]], None]
"""Called in a thread of its own with a fresh Zeroconf and the addresses that others see; not to be closed there."""

_log = logging.getLogger(__name__)
# It writes a traceback whenever an interface goes away under it, which is what is expected here.
logging.getLogger("zeroconf").setLevel(logging.ERROR)


class MulticastDns:
    """Takes part from `start` to `close`; after each change of the interfaces anew, with a fresh `Zeroconf`.

    Leaving says goodbye for what was registered. No error of the network leaves this class: it is logged, and
    tried again.

    Args:
        joined: registers or browses.
        addresses: lists this machine's, of which only those of networks at home are used.
    """

    def __init__(
        self, joined: Joined, addresses: Callable[[], tuple[InterfaceAddress, ...]] = interface_addresses
    ) -> None:
        self._joined = joined
        self._addresses = addresses
        self._zeroconf: Zeroconf | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="multicast-dns", daemon=True)

    def start(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        """Say goodbye and stop. A few hundred milliseconds."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        current: tuple[InterfaceAddress, ...] = ()
        retry_at, looked = 0.0, time.time()
        while not self._closed.is_set():
            addresses = tuple(address for address in self._addresses() if address.kind == "lan")
            now = time.time()
            slept = now - looked > POLL_S + SLEPT_S
            looked = now
            missing = self._zeroconf is None and bool(addresses) and now >= retry_at
            if addresses != current or slept or missing:
                current, retry_at = addresses, now + RETRY_S
                self._leave()
                self._join(addresses)
            self._closed.wait(POLL_S)
        self._leave()

    def _join(self, addresses: tuple[InterfaceAddress, ...]) -> None:
        if not addresses:
            return
        try:
            # IPv6 is joined by the interface, which has one group for all its addresses.
            fours = [address.address for address in addresses if not address.is_ipv6]
            sixes = sorted({address.index for address in addresses if address.is_ipv6})
            version = IPVersion.All if fours and sixes else IPVersion.V6Only if sixes else IPVersion.V4Only
            self._zeroconf = Zeroconf(interfaces=[*fours, *sixes], ip_version=version)
            self._joined(self._zeroconf, addresses)
        except (OSError, Error, RuntimeError) as error:
            _log.warning(
                "Multicast DNS is not possible here at the moment (%s: %s)", type(error).__name__, error
            )
            self._leave()

    def _leave(self) -> None:
        if self._zeroconf is None:
            return
        try:
            self._zeroconf.close()
        except (OSError, Error, RuntimeError) as error:
            _log.info("Multicast DNS ended without goodbye (%s)", error)
        self._zeroconf = None
