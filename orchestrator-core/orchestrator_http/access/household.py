"""This server in its household: its keys, the household's, and the devices that may ask.

The desktop's key is the household's. The VPS knows it from the desktop that is its source of truth (`join`),
and keeps it in a file; until then it knows no devices.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path

from orchestrator_core.errors import ConfigurationError, SignatureInvalid
from orchestrator_core.tiers.router import HOME
from orchestrator_relay.errors import (
    ClockOff,
    IdentityUnusable,
    InvalidIdentity,
    RequestReplayed,
    SignatureRejected,
)
from orchestrator_relay.identity.machine import Identity, PublicIdentity
from orchestrator_relay.identity.nonces import NonceStore
from shared_context.conversations.store import ConversationStore
from shared_context.devices.device import SCOPES, Device
from shared_context.devices.registry import Devices
from shared_context.storage.permissions import write_private

FILE = "household"
"""Of a tier that is not the desktop: the public identity of the household."""

MAX_REMEMBERED = 4096
"""Devices whose grants are not verified anew."""

_log = logging.getLogger(__name__)


class Household:
    """Safe from any thread. No file is read or made before it is used.

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
        self._nonces = NonceStore()
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
            write_private(self._file, public.text() + "\n")
            self._told = public
        _log.info("This server belongs to the household %s", public.id)

    def signer_of(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Device:
        """The device that signed a request; the desktop itself counts as one with every scope. It may have been revoked.

        Args:
            url: as it was received: path and query, percent-encoded.

        Raises:
            SignatureInvalid: nobody who may ask signed it as it stands, or not now.
        """
        from orchestrator_relay.identity.signatures import verify_request

        household = self.public
        if household is None:
            raise SignatureInvalid(
                "This server belongs to no household yet.",
                code="no_household",
                hint="Connect the desktop to it once.",
            )
        devices: dict[str, Device | None] = {}

        def key_for(key_id: str) -> PublicIdentity | None:
            device = devices[key_id] = self._device(key_id, household)
            return None if device is None else _parsed(device.public)

        try:
            key_id = verify_request(household.id, key_for, self._nonces, method, url, headers, body)
        except (ClockOff, RequestReplayed) as error:
            raise SignatureInvalid(
                error.message, error.hint, code=error.code, server_time=error.server_time
            ) from None
        except SignatureRejected as error:
            raise SignatureInvalid(error.message, error.hint, code=error.code) from None
        device = devices[key_id]
        assert device is not None  # with whose key it was verified
        return device

    def _device(self, key_id: str, household: PublicIdentity) -> Device | None:
        if key_id == household.id:
            return Device(key_id, "desktop", HOME, SCOPES, household.text(), "")
        return self.devices.lookup(key_id)

    def _verifies(self, signature: bytes, message: bytes) -> bool:
        household = self.public
        return household is not None and _verified(household, signature, message)

    def _sign_for_household(self, message: bytes) -> bytes:
        return self.identity.sign(message)


@lru_cache(MAX_REMEMBERED)
def _verified(household: PublicIdentity, signature: bytes, message: bytes) -> bool:
    """Remembered, as every request asks for the grant of its device; by household, of which a VPS may learn, or get another."""
    return household.verifies(signature, message)


@lru_cache(MAX_REMEMBERED)
def _parsed(text: str) -> PublicIdentity | None:
    try:
        return PublicIdentity.parse(text)
    except InvalidIdentity:
        return None
