"""The roads to the household as they are now: knocks, remembers, tells what is alive. `router` decides.

Nothing is sent while nobody asks for a road. While an answer is under way its road is knocked when it falls silent, so
that one that is half open is left within a heartbeat.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil

from mobile_sync.router import HEARTBEAT_S, QUIET_S, Choice, Road, Situation, Step, decide

MAX_NETWORKS = 64
"""Networks whose winner is remembered; the one that was used longest ago is forgotten first."""

LOOK_S = 0.25
"""Between looks at a road in use."""

Probe = Callable[[str], bool]
"""`probe(url)`: whether the right server proved itself there, within `router.PROBE_S`. Raises nothing."""

_log = logging.getLogger(__name__)


def network_key() -> str:
    """Which network this is, as far as this device's own addresses say: no name of it, no place, and nothing that could
    be turned back into one. "" when there is none."""
    prefixes = set()
    with suppress(OSError, PermissionError):
        for name, addresses in psutil.net_if_addrs().items():
            for address in addresses:
                with suppress(ValueError):
                    interface = ipaddress.ip_interface(
                        f"{address.address.partition('%')[0]}/{address.netmask or 64}"
                    )
                    if not (interface.ip.is_loopback or interface.ip.is_link_local):
                        prefixes.add(f"{name} {interface.network}")
    return hashlib.sha256("\n".join(sorted(prefixes)).encode()).hexdigest()[:16] if prefixes else ""


class Winners:
    """The road that was used last in each network, in a small file. A file that is lost costs a moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            stored = json.loads(path.read_text("utf-8"))
            self._known = {str(key): str(url) for key, url in stored.items()}
        except (OSError, ValueError, AttributeError):
            self._known = {}

    def get(self, network: str) -> str | None:
        return self._known.get(network)

    def all(self) -> list[str]:
        """The latest first, without repetition."""
        return list(dict.fromkeys(reversed(self._known.values())))

    def note(self, network: str, url: str) -> None:
        if self._known.get(network) == url and next(reversed(self._known), None) == network:
            return
        self._known.pop(network, None)
        self._known[network] = url
        while len(self._known) > MAX_NETWORKS:
            del self._known[next(iter(self._known))]
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            fresh.write_text(json.dumps(self._known), "utf-8")
            fresh.replace(self._path)
        except OSError as error:
            _log.info("The road that was used here is not remembered: %s", error)


class Roads:
    """Safe from any thread.

    Args:
        lan: the URLs at which the desktop may be in this network, likeliest first.
        vps: the VPS's URL, or None.
        own_model: whether this device has a model.
        moved: called when this device is in another network; returns at once.
        network: names the network this device is in.
    """

    def __init__(
        self,
        lan: Callable[[], Iterable[str]],
        vps: str | None,
        probe: Probe,
        winners: Winners,
        *,
        own_model: Callable[[], bool] = lambda: False,
        moved: Callable[[], None] = lambda: None,
        network: Callable[[], str] = network_key,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lan, self._vps, self._probe = lan, vps, probe
        self._winners, self._own_model = winners, own_model
        self._moved, self._network_now, self._clock = moved, network, clock
        self._changed = threading.Condition()
        self._roads: dict[str, Road] = {}
        self._network = network()

    def choose(self, *, own_model_first: bool = False, others: bool = False) -> Choice:
        """The way that a request takes now; takes `router.PROBE_S` and a moment at most.

        Args:
            own_model_first: see `router.Situation`.
            others: only a server will do: never the phone's own model.
        """
        with self._changed:
            began = self._clock()
            while True:
                self._look_around()
                now = self._clock()
                step = decide(
                    Situation(
                        now,
                        began,
                        tuple(self._roads.values()),
                        winner=self._winners.get(self._network),
                        own_model=not others and self._own_model(),
                        own_model_first=own_model_first,
                    )
                )
                self._perform(step, now)
                if step.choice is not None:
                    if step.choice.url is not None and step.choice.way == "lan":
                        self._winners.note(self._network, step.choice.url)
                    return step.choice
                self._changed.wait(max(0.005, step.look_at - now))

    def heard(self, url: str) -> None:
        """The right server was just heard on this road."""
        with self._changed:
            self._note(url, heard_at=self._clock(), failed_at=None)

    def failed(self, url: str) -> None:
        """A request on this road got no answer."""
        with self._changed:
            self._note(url, failed_at=self._clock())

    def network_changed(self) -> None:
        """Nothing that was known of any road counts any more."""
        with self._changed:
            self._roads = {url: Road(url, road.kind) for url, road in self._roads.items()}
            self._changed.notify_all()

    def alive(self) -> list[Road]:
        """The roads that may be shown as connected."""
        with self._changed:
            now = self._clock()
            return [road for road in self._roads.values() if road.is_alive(now)]

    @contextmanager
    def guarded(self, url: str, on_dead: Callable[[], None]) -> Iterator[None]:
        """While in the block, knock at this road when it falls silent; call `on_dead` once when it is dead, or when this
        device is in another network."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(LOOK_S):
                if not self._still_there(url):
                    on_dead()
                    return

        threading.Thread(target=watch, name="road-guard", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _still_there(self, url: str) -> bool:
        with self._changed:
            self._look_around()
            road, now = self._roads.get(url), self._clock()
            if road is None or road.failed_at is not None or road.heard_at is None:
                return False
            if now - road.heard_at >= HEARTBEAT_S:
                self._note(url, failed_at=now)
                return False
            if now - road.heard_at >= QUIET_S and road.asked_at is None:
                self._knock(url, now)
            return True

    def _look_around(self) -> None:
        """Which roads there are, and whether the network is another one. Called with the lock."""
        network = self._network_now()
        if network != self._network:
            _log.info("This device is in another network.")
            self._network = network
            self._roads = {}
            self._moved()
        wanted = {url.rstrip("/"): "lan" for url in self._lan()}
        if self._vps is not None:
            wanted[self._vps.rstrip("/")] = "vps"
        self._roads = {
            url: self._roads.get(url) or Road(url, kind)  # type: ignore[arg-type]
            for url, kind in wanted.items()
        }

    def _perform(self, step: Step, now: float) -> None:
        for url in step.give_up:
            self._note(url, asked_at=None, failed_at=now)
        for url in step.knock:
            self._knock(url, now)

    def _knock(self, url: str, now: float) -> None:
        self._note(url, asked_at=now)

        def ask() -> None:
            present = self._probe(url)
            with self._changed:
                road = self._roads.get(url)
                if road is None or road.asked_at != now:
                    return  # given up, or of another network
                moment = self._clock()
                if present:
                    self._note(url, asked_at=None, heard_at=moment, failed_at=None)
                else:
                    self._note(url, asked_at=None, failed_at=moment)

        threading.Thread(target=ask, name="road-knock", daemon=True).start()

    def _note(self, url: str, **fields: float | None) -> None:
        road = self._roads.get(url)
        if road is not None:
            self._roads[url] = replace(road, **fields)  # type: ignore[arg-type]
        self._changed.notify_all()
