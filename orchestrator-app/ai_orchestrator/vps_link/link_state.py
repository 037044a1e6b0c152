"""How the link to the VPS is doing, for people: kept in memory and in `vps-link.json` of the data folder."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from shared_context.storage.identity import now

NAME = "vps-link.json"

Phase = Literal["off", "dialling", "connected", "ready", "waiting", "stopped"]
"""
off: not enrolled, or the server does not run.
dialling: on the way.
connected: the memories are being exchanged, or cannot be (see `why`).
ready: the VPS may pass questions on.
waiting: it could not be reached; it is dialled again soon.
stopped: it will not be dialled again (revoked).
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LinkState:
    """
    Args:
        why: what a person should know of this phase; "" when all is well.
        notice: what a person has to act upon, with the command for it; "" for nothing.
        address: from where this desktop comes, as the VPS sees it.
        before: from where its credential was used before, when that was another place.
        since: ISO 8601, UTC.
    """

    phase: Phase
    why: str = ""
    url: str = ""
    since: str = ""
    notice: str = ""
    address: str = ""
    before: str = ""


class LinkStateFile:
    """Safe from any thread. A file that cannot be written is only a warning."""

    def __init__(self, data: Path) -> None:
        self._file = data / NAME
        self._lock = threading.Lock()
        self._state = LinkState("off")

    @property
    def state(self) -> LinkState:
        return self._state

    def set(self, phase: Phase, why: str = "", url: str = "") -> None:
        self._replace(phase=phase, why=why, url=url)

    def note(self, **fields: str) -> None:
        """Set `notice`, `address` or `before`; they stay until they are set again."""
        self._replace(**fields)

    def _replace(self, **fields: str) -> None:
        with self._lock:
            state = replace(self._state, **fields)  # type: ignore[arg-type]
            if state == self._state:
                return
            self._state = replace(state, since=now()) if "phase" in fields else state
            try:
                temporary = self._file.with_suffix(".new")
                temporary.write_text(json.dumps(asdict(self._state)), encoding="utf-8")
                temporary.replace(self._file)
            except OSError as error:
                _log.warning("The state of the link to the VPS is not written: %s", error.strerror)


def read(data: Path) -> LinkState:
    """What a running server wrote last; `off` when there is nothing to read."""
    try:
        fields = json.loads((data / NAME).read_bytes())
        return LinkState(**{name: str(fields.get(name, "")) for name in LinkState.__dataclass_fields__})  # type: ignore[arg-type]
    except (OSError, ValueError, AttributeError):
        return LinkState("off")
