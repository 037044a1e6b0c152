"""`server.json` in the data folder: where the server that holds the folder can be reached.

The server writes it once it listens and removes it when it ends; `orchestrator ask` and
others read it, so that they talk to the server instead of fighting it for the folder. A
file left behind by a killed server does no harm: readers ask `/health` before they trust it.

Whoever may read the folder may ask its server: the file holds a key that ends with the server. A reader sends that
one to loopback only, and its own API key only where `trusted` allows.
"""

from __future__ import annotations

import ipaddress
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

NAME = "server.json"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A running server.

    Args:
        url: where it listens, reachable from this machine, without a slash at the end.
        pid: its process.
        started_at: ISO 8601, UTC.
        key: for the commands of whoever may read this.
    """

    url: str
    pid: int
    started_at: str
    key: str = field(default="", repr=False)

    def trusted(self, configured_host: str) -> bool:
        """Whether an API key may be sent there: loopback, or the host of our own settings."""
        return self.is_local or urlsplit(self.url).hostname == configured_host

    @property
    def is_local(self) -> bool:
        """Whether it listens on loopback."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def announce(data: Path, url: str, key: str = "") -> ServerAddress:
    """Write the file (mode 0600, replaced atomically). Call it when the port listens."""
    address = ServerAddress(
        url=url.rstrip("/"),
        pid=os.getpid(),
        started_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        key=key,
    )
    handle, name = tempfile.mkstemp(prefix=".server-", dir=data)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(address), file)
    Path(name).replace(data / NAME)
    return address


def withdraw(data: Path) -> None:
    """Remove the file, if it is this process's own."""
    address = read(data)
    if address is not None and address.pid == os.getpid():
        (data / NAME).unlink(missing_ok=True)


def read(data: Path) -> ServerAddress | None:
    """What the file says; None when there is none or it is not one of ours."""
    try:
        content = json.loads((data / NAME).read_text("utf-8"))
        address = ServerAddress(
            str(content["url"]), int(content["pid"]), str(content["started_at"]), str(content.get("key", ""))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return address if urlsplit(address.url).scheme in ("http", "https") else None
