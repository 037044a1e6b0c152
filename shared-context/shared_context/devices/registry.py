"""The registry of paired devices. It travels with the memory; nobody needs to trust who brings it.

Only the household's key can add a device: a grant that it did not sign is as if it were not there, so neither a
taken-over VPS nor a paired phone can bring a device in. Revoking needs no signature: whoever may write to
the memory of a tier may take a device out, and nothing puts it back.

Covered: concurrent renames (the latest wins), a revocation against anything else (it wins, always).
Not covered: who may call this; the routes check scopes.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
import time
from contextlib import suppress

from shared_context.conversations.rows import register
from shared_context.conversations.store import ConversationStore
from shared_context.devices.device import DEVICE_SCOPES, Device, Sign, Verify, check, device_of, grant_of
from shared_context.errors import DeviceNotFound, DeviceRejected, StoreError
from shared_context.storage.identity import now

GRANT, NAME, REVOKED = "grant", "name", "revoked"
"""The registers of a device, in the log of `ConversationStore`."""

SEEN_EVERY_S = 300.0
"""Every write to the memory wakes who watches it."""


class Devices:
    """Safe from any thread; nothing is kept in memory but who was seen, so a revocation that an exchange brought counts for
    the next request.

    Args:
        store: of this tier's memory.
        verify: the household's public key. It is asked at every lookup, and may remember what it answered.
        sign: the household's secret key; None on every tier but the desktop.
    """

    def __init__(self, store: ConversationStore, verify: Verify, sign: Sign | None = None) -> None:
        self._store = store
        self._verify = verify
        self._sign = sign
        self._seeing = threading.Lock()
        self._seen: dict[str, tuple[str, str]] = {}
        self._written: dict[str, float] = {}

    def add(
        self,
        device_id: str,
        *,
        name: str,
        kind: str,
        public: str,
        scopes: tuple[str, ...] = DEVICE_SCOPES,
        created_at: str | None = None,
    ) -> Device:
        """Let a device in. Adding one again gives it these scopes and this name.

        Args:
            device_id: the fingerprint of its signing key, checked by the caller against `public`.

        Raises:
            DeviceRejected: this tier has not the household's key, a field is wrong, or it was revoked.
        """
        if self._sign is None:
            raise DeviceRejected("Only the desktop can pair devices.", hint="Run `orchestrator pair` there.")
        device = Device(device_id, name, kind, tuple(scopes), public, created_at or now())
        check(device)
        with self._store.database.write() as connection:
            if register(connection, device_id, REVOKED) is not None:
                raise DeviceRejected(
                    f"The device {device_id} was revoked, and its key stays so.",
                    hint="Let the device make a new key, and pair it again.",
                    code="device_revoked",
                )
            self._store.set_register(connection, device_id, GRANT, grant_of(device, self._sign))
            if register(connection, device_id, NAME) is not None:
                self._store.set_register(connection, device_id, NAME, name)
        return device

    def get(self, device_id: str) -> Device:
        """
        Raises:
            DeviceNotFound: the household never let it in. A revoked one is returned.
        """
        device = self.lookup(device_id)
        if device is None:
            raise DeviceNotFound(f"There is no device {device_id[:64]!r}.", hint="GET /devices lists them.")
        return device

    def lookup(self, device_id: str) -> Device | None:
        """As `get`, for every request: two reads by primary key."""
        with self._store.database.read() as connection:
            return self._read(connection, device_id)

    def is_revoked(self, device_id: str) -> bool:
        """Whether it was let in once and may do nothing any more."""
        device = self.lookup(device_id)
        return device is not None and device.revoked_at is not None

    def list(self) -> list[Device]:
        """All that were ever let in, the latest first; revoked ones too."""
        with self._store.database.read() as connection:
            ids = [row["conversation_id"] for row in connection.execute(_IDS)]
            devices = [self._read(connection, device_id) for device_id in ids]
        present = (device for device in devices if device is not None)
        return sorted(present, key=lambda device: device.created_at, reverse=True)

    def rename(self, device_id: str, name: str) -> Device:
        """
        Raises:
            DeviceNotFound, DeviceRejected.
        """
        check(dataclasses.replace(self.get(device_id), name=name))
        with self._store.database.write() as connection:
            self._store.set_register(connection, device_id, NAME, name)
        return self.get(device_id)

    def revoke(self, device_id: str) -> Device:
        """It may do nothing any more: here at once, elsewhere with the next exchange. For good.

        Raises:
            DeviceNotFound.
        """
        device = self.get(device_id)
        if device.revoked_at is None:
            with self._store.database.write() as connection:
                self._store.set_register(connection, device_id, REVOKED, now())
        return self.get(device_id)

    def seen(self, device_id: str, way: str) -> None:
        """It asked just now. Known at once to this object, and written every `SEEN_EVERY_S` if it can be, on this tier alone.

        Args:
            way: how it came: "loopback", "lan", "tls", "relay"…
        """
        moment, started = now(), time.monotonic()
        with self._seeing:
            written_at = self._written.get(device_id)
            self._seen[device_id] = (moment, way)
            if written_at is not None and started - written_at < SEEN_EVERY_S:
                return
            self._written[device_id] = started
        # A full disk must not keep a device out.
        with suppress(StoreError), self._store.database.write() as connection:
            connection.execute(_SAW, (device_id, moment, way[:32]))

    def _read(self, connection: sqlite3.Connection, device_id: str) -> Device | None:
        fields = {row["field"]: row["value"] for row in connection.execute(_FIELDS, (device_id,))}
        device = device_of(fields.get(GRANT) or "", device_id, self._verify)
        if device is None:
            return None
        seen = self._seen.get(device_id) or connection.execute(_SEEN, (device_id,)).fetchone() or (None, None)
        return dataclasses.replace(
            device,
            name=fields.get(NAME) or device.name,
            revoked_at=fields.get(REVOKED),
            last_seen_at=seen[0],
            last_seen_by=seen[1],
        )


_IDS = "SELECT conversation_id FROM registers WHERE field = 'grant'"
_FIELDS = """SELECT field, value FROM registers
    WHERE conversation_id = ? AND field IN ('grant', 'name', 'revoked')"""
_SEEN = "SELECT at, way FROM devices_seen WHERE device_id = ?"
_SAW = "INSERT OR REPLACE INTO devices_seen (device_id, at, way) VALUES (?, ?, ?)"
