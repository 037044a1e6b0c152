"""Sending models of the registry to the VPS, in parts: what has arrived once is not sent again.

Over HTTPS, as this desktop. The VPS checks every hash before it takes a version in; nothing it answers with changes
before that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from orchestrator_core.errors import (
    ApplicationError,
    BackendTimeout,
    BackendUnreachable,
    ConfigurationError,
    Conflict,
    TierLost,
    from_body,
)
from orchestrator_core.models.files import Progress, nothing
from orchestrator_core.models.version import Version
from orchestrator_core.settings import Settings
from orchestrator_relay.identity.pinning import session_for

from ai_orchestrator.cli.link.server import ServerLink
from ai_orchestrator.vps_link import credentials

PART_BYTES = 2 * 1024 * 1024
RETRY_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""After a lost connection; anew after each part that arrived."""

POLL_S = 0.5
LOST = (BackendUnreachable, BackendTimeout)


def open_vps(settings: Settings) -> ServerLink:
    """The VPS, asked as this desktop; close it.

    Raises:
        ConfigurationError: this desktop is not enrolled with one.
    """
    credential = credentials.read(settings.data)
    if credential is None:
        raise ConfigurationError(
            "This desktop is not enrolled with a VPS.", hint="Enrol it: `orchestrator vps enroll URL CODE`"
        )
    return ServerLink(credential.url, session=session_for(credential.certificate, credential.credential))


def push(
    server: ServerLink,
    versions: list[Version],
    progress: Progress = nothing,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send these versions, in order: an adapter's base before the adapter.

    Args:
        progress: is told of bytes that were sent, and of those that had been before.

    Raises:
        Conflict: the VPS has other files under this reference, or a hash was wrong on arrival.
        StoreFull: it has no room. BackendUnreachable: it stayed away; pushing again goes on there.
        OSError: a file cannot be read here.
    """
    for version in versions:
        _Sending(server, version, progress, sleep).perform()


def activate(server: ServerLink, reference: str | None, *, force: bool = False) -> dict[str, Any]:
    """Have a server answer with this version, and wait until it does; returns what `GET /models` says then.

    Raises:
        ApplicationError: it does not, and answers as before.
    """
    server.call("POST", "/models/activate", body={"reference": reference, "force": force})
    return settled(server)


def rollback(server: ServerLink) -> dict[str, Any]:
    """As `activate`, with the model before."""
    server.call("POST", "/models/rollback", body={})
    return settled(server)


def settled(server: ServerLink) -> dict[str, Any]:
    """What `GET /models` says when nothing is being activated any more.

    Raises:
        ApplicationError: the activation failed.
    """
    while True:
        known: dict[str, Any] = server.call("GET", "/models")
        activation = known["activation"]
        if activation["state"] == "failed":
            raise from_body(activation)
        if activation["state"] != "running":
            return known
        time.sleep(POLL_S)


class _Sending:
    def __init__(
        self, server: ServerLink, version: Version, progress: Progress, sleep: Callable[[float], None]
    ) -> None:
        self._server = server
        self._version = version
        self._manifest = version.manifest
        self._progress = progress
        self._sleep = sleep
        self._told: dict[str, int] = {}

    def perform(self) -> None:
        failures = 0
        while True:
            before = sum(self._told.values())
            try:
                return self._once()
            except (*LOST, Conflict) as error:
                if isinstance(error, Conflict) and error.code != "wrong_offset":
                    raise
                failures = 0 if sum(self._told.values()) > before else failures + 1
                if failures > len(RETRY_WAITS_S):
                    raise _unfinished(error, self._version.reference) from error
            self._sleep(RETRY_WAITS_S[max(0, failures - 1)])

    def _once(self) -> None:
        begun = self._server.call("POST", "/models/incoming", body=self._manifest.model_dump(mode="json"))
        for name, held in begun["held"].items():
            self._tell(name, held)
        if begun["complete"]:
            return
        for name, file in self._manifest.files.items():
            with (self._version.folder / name).open("rb") as stream:
                offset = int(begun["held"][name])
                stream.seek(offset)
                while offset < file.size:
                    part = stream.read(PART_BYTES)
                    if not part:
                        raise Conflict(
                            f"{name} of {self._version.reference} is shorter than its manifest says."
                        )
                    offset = self._part(name, offset, part)
        self._server.call("POST", f"{self._path()}")

    def _part(self, name: str, offset: int, part: bytes) -> int:
        headers = {"Content-Type": "application/octet-stream"}
        self._server.call("PUT", f"{self._path()}/{name}", body=part, headers=headers, offset=offset)
        self._tell(name, offset + len(part))
        return offset + len(part)

    def _tell(self, name: str, there: int) -> None:
        self._progress(max(0, there - self._told.get(name, 0)))
        self._told[name] = max(there, self._told.get(name, 0))

    def _path(self) -> str:
        return f"/models/incoming/{self._manifest.name}/{self._manifest.version}"


def _unfinished(error: ApplicationError, reference: str) -> TierLost:
    return TierLost(
        f"{reference} was not sent to its end: {error.message}",
        hint=f"What arrived is kept there; go on with `orchestrator models push {reference}`",
    )
