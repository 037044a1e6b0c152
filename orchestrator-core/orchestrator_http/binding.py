"""Listening sockets, bound before anything else happens: a port in use is told before the data folder is opened."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator_core.errors import ConfigurationError, PortInUse

BACKLOG = 256
EVERYWHERE = "*"
"""Host that means all addresses of this machine, IPv4 and IPv6."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on every address `host` stands for (localhost has two).

    Args:
        host: `*` stands for all addresses of both families.
        port: 0 takes any free one, the same for all addresses.

    Raises:
        PortInUse, ConfigurationError: the message says what to do.
    """
    try:
        name = None if host == EVERYWHERE else host
        addresses = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host!r}: {error.strerror}.", hint="Use an address of this machine."
        ) from error
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(addresses):
        chosen = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_listen(family, (address[0], chosen, *address[2:])))
        except OSError as error:
            # Without IPv6 on this machine, localhost is its IPv4 address alone.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                close_all(sockets)
                raise _explained(error, host, port) from error
            missing = error
    if not sockets:
        raise _explained(missing or OSError(errno.EADDRNOTAVAIL, "no address"), host, port)
    return sockets


def close_all(sockets: Sequence[socket.socket]) -> None:
    for listener in sockets:
        listener.close()


def reachable_url(host: str, port: int) -> str:
    """The URL under which this machine reaches a server bound to `host`.

    A wildcard address is reached through loopback; IPv6 goes into brackets.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", EVERYWHERE: "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(family: int, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # On Windows SO_REUSEADDR would share the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _listener(port: int) -> str:
    """The program that listens on `port`, as its owner knows it."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr[1:] == (port,):
                process = psutil.Process(connection.pid)
                words = [Path(word).name for word in process.cmdline()[:2]]
                script = len(words) == 2 and words[0].startswith("python") and not words[1].startswith("-")
                return f"{words[1] if script else process.name()} (process {process.pid})"
    except (psutil.Error, OSError):
        pass
    return "another program"


def _explained(error: OSError, host: str, port: int) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"Port {port} on {host} is in use by {_listener(port)}.",
            hint=f"Stop it, or choose another port: --port {port + 1} (or 0 for any free one).",
        )
    if error.errno == errno.EACCES:
        return ConfigurationError(
            f"This user may not listen on port {port}.",
            hint="Ports below 1024 need root: use one from 1024 to 65535.",
        )
    return ConfigurationError(
        f"Cannot listen on {host} port {port}: {error.strerror}.", hint="Use an address of this machine."
    )
