"""Several hosts on one machine: network namespaces joined by a switch, with links that can be cut.

Needs root and the programs `ip` and `nft`. Nothing outside the namespaces is touched.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from shared_context.storage.identity import new_id

CLONE_NEWNET = 0x40000000
"""Linux, sched.h."""


def missing() -> str | None:
    """Why there can be no namespaces here; None when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [program for program in ("ip", "nft") if shutil.which(program) is None]
    if absent:
        return f"network namespaces need {' and '.join(absent)}"
    trial = f"trial-{new_id()[-6:]}"
    made = subprocess.run(["ip", "netns", "add", trial], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", trial], check=False)
    return None


class Host:
    """One namespace with an address of its own."""

    def __init__(self, namespace: str, address: str) -> None:
        self.namespace = namespace
        self.address = address

    def command(self, command: list[str]) -> list[str]:
        """The command, to be run on this host."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def run(self, *command: str) -> str:
        return _run(*self.command(list(command)))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread opens in the block, and threads that it starts, are on this host."""
        with Path("/proc/thread-self/ns/net").open() as here, self._file.open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    @property
    def _file(self) -> Path:
        return Path("/run/netns") / self.namespace

    def cut(self) -> None:
        """Drop every packet from and to others, as a pulled plug does: nobody is told."""
        self.run("nft", "add table inet cut")
        for hook in ("input", "output"):
            chain = f"inet cut {hook}"
            rule = "{ type filter hook " + hook + " priority 0; policy drop; }"
            self.run("nft", f"add chain {chain} {rule}")
            self.run("nft", f"add rule {chain} {'iif' if hook == 'input' else 'oif'} lo accept")

    def restore(self) -> None:
        self.run("nft", "delete table inet cut")


class Network:
    """Hosts by name, each reachable from each other.

    with Network("desktop", "vps", "phone") as network:
        network["vps"].run("ip", "address")
    """

    def __init__(self, *names: str) -> None:
        self._id = new_id()[-6:]
        self._switch = f"sw-{self._id}"
        self._hosts = {
            name: Host(f"{name}-{self._id}", f"10.77.0.{number}") for number, name in enumerate(names, 1)
        }

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._remove()

    def _build(self) -> None:
        _run("ip", "netns", "add", self._switch)
        _run("ip", "-n", self._switch, "link", "add", "br0", "type", "bridge")
        _run("ip", "-n", self._switch, "link", "set", "br0", "up")
        for number, host in enumerate(self._hosts.values()):
            port = f"port{number}"
            _run("ip", "netns", "add", host.namespace)
            _run(
                *("ip", "link", "add", "eth0", "netns", host.namespace),
                *("type", "veth", "peer", "name", port, "netns", self._switch),
            )
            _run("ip", "-n", self._switch, "link", "set", port, "master", "br0", "up")
            _run("ip", "-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
            _run("ip", "-n", host.namespace, "link", "set", "eth0", "up")
            _run("ip", "-n", host.namespace, "link", "set", "lo", "up")
            # zeroconf and other multicast go where the default route points.
            _run("ip", "-n", host.namespace, "route", "add", "default", "dev", "eth0")

    def _remove(self) -> None:
        for namespace in (*(host.namespace for host in self._hosts.values()), self._switch):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
