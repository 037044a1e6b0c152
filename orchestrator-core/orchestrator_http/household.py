"""This server in its household: its keys, the household's, and the devices that may ask.

The desktop's key is the household's. The VPS knows it from the desktop that is its source of truth (`join`),
and keeps it in a file; until then it knows no devices.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_core.errors import ConfigurationError, SignatureInvalid
from orchestrator_core.tiers.router import HOME
from orchestrator_relay.errors import (
    ClockOff,
    IdentityUnusable,
    InvalidIdentity,
    RequestReplayed,
    SignatureRejected,
)
from orchestrator_relay.identity import Identity, PublicIdentity
from shared_context.conversations.store import ConversationStore
from shared_context.devices.device import SCOPES, Device
from shared_context.devices.registry import Devices

if TYPE_CHECKING:
    from orchestrator_relay.nonces import NonceStore

FILE = "household"
"""Of a tier that is not the desktop: the public identity of the household."""

_log = logging.getLogger(__name__)


class Household:
    """Safe from any thread. Nothing is read or made before it is used.

    Args:
        data: the data folder, which holds this server's keys.
        tier: "desktop" has the household's key.
    """

    def __init__(self, data: Path, conversations: ConversationStore, tier: str) -> None:
        self._file = data / FILE
        self._data = data
        self._is_home = tier == HOME
        self._lock = threading.Lock()
        self._told: PublicIdentity | None = None
        self._started = time.time()
        self.devices = Devices(
            conversations, self._verifies, self._sign_for_household if self._is_home else None
        )

    @cached_property
    def identity(self) -> Identity:
        """This server's own keys, made when there are none.

        Raises:
            ConfigurationError: the file is damaged, or others may read it.
        """
        try:
            return Identity.load_or_create(self._data)
        except IdentityUnusable as error:
            raise ConfigurationError(error.message, hint=error.hint) from None

    @cached_property
    def nonces(self) -> NonceStore:
        """The requests that were taken since this server's start."""
        from orchestrator_relay.nonces import NonceStore

        return NonceStore(started=self._started)

    @property
    def public(self) -> PublicIdentity | None:
        """The household's; None on a VPS to which no desktop has told it yet."""
        if self._is_home:
            return self.identity.public
        if self._told is None:
            try:
                self._told = PublicIdentity.parse(self._file.read_text(encoding="ascii").strip())
            except FileNotFoundError:
                return None
            except (OSError, ValueError, InvalidIdentity):
                _log.error("%s cannot be read: no device is known until the desktop connects.", self._file)
        return self._told

    def join(self, public: PublicIdentity) -> None:
        """On a VPS: the source of truth says which household this is.

        Raises:
            OSError: it cannot be kept.
        """
        with self._lock:
            if self._is_home or self.public == public:
                return
            fresh = self._file.with_name(f".{FILE}.{os.getpid()}")
            fresh.write_text(public.text() + "\n", encoding="ascii")
            fresh.replace(self._file)
            self._told = public
        _log.info("This server belongs to the household %s", public.id)

    def signer_of(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Device:
        """The device that signed a request; the desktop itself counts as one with every scope. It may have been revoked.

        Args:
            url: as it was received: path and query, percent-encoded.

        Raises:
            SignatureInvalid: nobody who may ask signed it as it stands, or not now.
        """
        from orchestrator_relay.signatures import verify_request

        household = self.public
        if household is None:
            raise SignatureInvalid(
                "This server belongs to no household yet.",
                code="no_household",
                hint="Connect the desktop to it once.",
            )
        try:
            key_id = verify_request(household.id, self._key_for, self.nonces, method, url, headers, body)
        except (ClockOff, RequestReplayed) as error:
            raise SignatureInvalid(
                error.message, error.hint, code=error.code, server_time=error.server_time
            ) from None
        except SignatureRejected as error:
            raise SignatureInvalid(error.message, error.hint, code=error.code) from None
        device = self._device(key_id, household)
        if device is None:
            raise SignatureInvalid("Nobody with this key may ask here.", code="unknown_key")
        return device

    def _device(self, key_id: str, household: PublicIdentity) -> Device | None:
        if key_id == household.id:
            return Device(key_id, "desktop", HOME, SCOPES, household.text(), "")
        return self.devices.lookup(key_id)

    def _key_for(self, key_id: str) -> PublicIdentity | None:
        household = self.public
        device = None if household is None else self._device(key_id, household)
        return None if device is None else _parsed(device.public)

    def _verifies(self, signature: bytes, message: bytes) -> bool:
        household = self.public
        return household is not None and household.verifies(signature, message)

    def _sign_for_household(self, message: bytes) -> bytes:
        return self.identity.sign(message)


@lru_cache(4096)
def _parsed(text: str) -> PublicIdentity | None:
    try:
        return PublicIdentity.parse(text)
    except InvalidIdentity:
        return None
