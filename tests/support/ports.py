"""Ports of loopback for tests."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

SERVER_PORTS = range(20_000, 32_000)
"""Below those that the kernel hands out (from 32768, ip(7)): no outgoing connection takes one of them
between being chosen and being listened on, or while a server is restarted."""


def free_port() -> int:
    """For a server that has to be given its port, or keeps it over a restart."""
    for port in random.sample(SERVER_PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


@contextmanager
def nobody_listens() -> Iterator[int]:
    """A port that refuses connections as long as the block lasts: held, so that nobody else gets it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
