"""The VPS, asked when too many questions wait on this desktop (`relay.overflow_queue`)."""

from __future__ import annotations

import logging
import threading
from typing import Unpack

from orchestrator_core.errors import ConfigurationError, TierUnreachable
from orchestrator_core.settings import Settings
from orchestrator_core.tiers.http_tier import HttpResponse, HttpTier
from orchestrator_core.tiers.remote import CallOptions, TierState
from orchestrator_relay.identity.pinning import session_for
from shared_context.exchange.replica import Replica
from shared_context.exchange.sync_client import SyncClient

from ai_orchestrator.vps_link import credentials
from ai_orchestrator.vps_link.credentials import VpsCredential

VPS = "vps"
NOT_ENROLLED = "this desktop is not enrolled with a VPS"

_log = logging.getLogger(__name__)


class EnrolledVps:
    """A `RemoteTier`: the VPS of `vps.json`, as soon as there is one, and another when it changes.

    `replica` is this desktop's memory; it is set once it is open.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._tier: HttpTier | None = None
        self.replica: Replica | None = None

    def state(self) -> TierState:
        tier = self._present()
        return TierState(VPS, False, False, why=NOT_ENROLLED) if tier is None else tier.state()

    def open(self, method: str, target: str, **options: Unpack[CallOptions]) -> HttpResponse:
        """See `RemoteTier`."""
        tier = self._present()
        if tier is None:
            raise TierUnreachable(f"There is no VPS: {NOT_ENROLLED}.")
        return tier.open(method, target, **options)

    def settle(self, timeout_s: float) -> bool:
        tier = self._present()
        return tier is not None and tier.settle(timeout_s)

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            tier, self._tier, self._stamp = self._tier, None, None
        if tier is not None:
            tier.close()

    def _present(self) -> HttpTier | None:
        stamp = credentials.stamp(self._settings.data)
        with self._lock:
            if stamp == self._stamp:
                return self._tier
            former, self._tier, self._stamp = self._tier, self._made(), stamp
            tier = self._tier
        if former is not None:
            former.close()
        return tier

    def _made(self) -> HttpTier | None:
        try:
            credential = credentials.read(self._settings.data)
        except ConfigurationError as error:
            _log.error("%s", error.message)
            return None
        if credential is None or credential.role != "source":
            return None
        tier = HttpTier(
            VPS,
            credential.url,
            session_for(credential.certificate, credential.credential),
            exchange=lambda: self._exchange(credential),
            answer_timeout_s=self._settings.relay.answer_timeout_s,
        )
        tier.watch()
        return tier

    def _exchange(self, credential: VpsCredential) -> bool:
        if self.replica is None:
            return False
        session = session_for(credential.certificate, credential.credential)
        with SyncClient(credential.url, self.replica, session=session) as client:
            return client.exchange().complete
