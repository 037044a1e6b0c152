"""The pairing that waits on this desktop, if one does, and its end: a device in the registry."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator_relay.identity.machine import Identity
from orchestrator_relay.identity.pairing import PairingAnswer, PairingLink, PairingRequest, Statement
from shared_context.devices.registry import Devices

from orchestrator_http.access.pending_pairing import PendingPairing, State, refusal

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Begun:
    """What a person carries to the device. Both are secret, and worth the same."""

    link: PairingLink
    code: str

    def __repr__(self) -> str:
        return "Begun(…)"


@dataclass(frozen=True, slots=True)
class PairingState:
    """
    Args:
        wrong: tries with a wrong code.
        left_s: seconds in which the code is good.
        device, name, kind: of who was let in; "" while nobody was.
    """

    state: State
    wrong: int
    left_s: float
    device: str = ""
    name: str = ""
    kind: str = ""


class Pairings:
    """At most one waits; a new one takes its place. Safe from any thread.

    Args:
        identity: the household's keys.
        devices: the registry that a device is added to.
        paired: told of each device that was let in.
    """

    def __init__(
        self,
        identity: Identity,
        devices: Devices,
        paired: Callable[[PairingRequest], None] = lambda request: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._identity = identity
        self._devices = devices
        self._paired = paired
        self._clock = clock or _clock
        self._lock = threading.Lock()
        self._pending: PendingPairing | None = None
        self._answer = PairingAnswer(identity.public, "")

    def begin(self, answer: PairingAnswer) -> Begun:
        """Make a code for one device.

        Args:
            answer: what the device is told; its addresses are also those of the link.
        """
        # Imported where it is used: it brings an HTTP client along, which a VPS does without.
        from orchestrator_relay.identity.pinning import fingerprint

        pinned = answer.vps_certificate
        pending = PendingPairing(self._identity.public, self._clock())
        with self._lock:
            self._pending, self._answer = pending, replace(answer, household=self._identity.public)
        _log.info("A pairing was begun")
        link = PairingLink(
            self._identity.public,
            pending.secret,
            answer.urls,
            answer.vps,
            fingerprint(pinned).replace(":", "").lower() if pinned else None,
        )
        return Begun(link, pending.code)

    def pair(self, statement: Statement) -> Statement:
        """Let the device in that made the statement; returns the desktop's own, for the device to check.

        Raises:
            PairingRefused, InvalidPairing: see `PendingPairing.check`; `no_pairing`: none waits.
            DeviceRejected: it has no proper name or kind, or was revoked before.
        """
        with self._lock:
            if self._pending is None:
                raise refusal("none")
            try:
                request, keys = self._pending.check(statement, self._clock())
            finally:
                if self._pending.state(self._clock()) == "locked":
                    _log.warning("The pairing is locked after too many wrong codes")
            if self._pending.device is None:
                self._let_in(request)
                self._pending.used(request, statement)
            return self._answer.statement(statement, keys.desktop, self._identity)

    def cancel(self) -> None:
        with self._lock:
            if self._pending is not None:
                self._pending.cancelled = True

    def state(self) -> PairingState | None:
        """None: there was none since this server started."""
        with self._lock:
            pending = self._pending
            if pending is None:
                return None
            now = self._clock()
            shown = PairingState(pending.state(now), pending.wrong, round(pending.left_s(now), 1))
            if pending.device is None:
                return shown
            device = pending.device
            return replace(shown, device=device.device.id, name=device.name, kind=device.kind)

    def _let_in(self, request: PairingRequest) -> None:
        device = request.device
        self._devices.add(device.id, name=request.name, kind=request.kind, public=device.text())
        _log.info("Paired the device %s", device.id)
        self._paired(request)


def _clock() -> float:
    """Seconds that pass also while the machine sleeps, where the system has such a clock."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)
