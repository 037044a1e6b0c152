"""Telling systemd how the service is (sd_notify(3)); silent where nobody listens.

gunicorn's own notice comes as soon as its port is bound, before a worker can answer; so it is
kept from it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping


class Notifier:
    """Takes the address out of the environment: neither gunicorn nor a child shall speak for us."""

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.pop("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environ)
        """How long systemd waits for a sign of life; None: it does not."""

    def send(self, *lines: str) -> None:
        """For example `READY=1`. What cannot be sent is lost: systemd has its own timeouts."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto("\n".join(lines).encode(), self._address)


def _watchdog_s(environ: MutableMapping[str, str]) -> float | None:
    pid = environ.pop("WATCHDOG_PID", "")
    microseconds = environ.pop("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 1e6
