"""A paired device, and the statement of the household that it is one."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

from shared_context.errors import DeviceRejected

SCOPES = ("ask", "memory", "admin")
"""What a device may do: ask models; read, write and exchange the memory; devices, keys and jobs."""

DEVICE_SCOPES = ("ask", "memory")
"""What a phone is given."""

MAX_NAME_CHARS = 64
MAX_KIND_CHARS = 32
MAX_ID_CHARS = 64

Sign = Callable[[bytes], bytes]
"""Signs with the household's key."""
Verify = Callable[[bytes, bytes], bool]
"""`verify(signature, message)`: whether the household's key signed it."""


@dataclass(frozen=True, slots=True)
class Device:
    """
    Args:
        id: fingerprint of its signing key; no two are alike, and a revoked one never comes back.
        name: for people; the latest rename wins.
        kind: "phone", "laptop", "browser", "vps"…
        scopes: of `SCOPES`.
        public: both public keys, as `orchestrator_relay.identity.machine.PublicIdentity.text` writes them.
        created_at: when it was paired; ISO 8601 UTC.
        revoked_at: since when it may do nothing; None: it may.
        last_seen_at, last_seen_by: when this tier saw it last, and by which way ("lan", "tls", "relay"…);
            not replicated.
    """

    id: str
    name: str
    kind: str
    scopes: tuple[str, ...]
    public: str
    created_at: str
    revoked_at: str | None = None
    last_seen_at: str | None = None
    last_seen_by: str | None = None


def check(device: Device) -> None:
    """
    Raises:
        DeviceRejected: a field cannot be stored; it is named.
    """
    if not (
        0 < len(device.id) <= MAX_ID_CHARS
        and device.id.isascii()
        and device.id.isalnum()
        and device.id == device.id.lower()
    ):
        raise DeviceRejected("A device's id is the fingerprint of its key.", param="id")
    for field, text, most in (("name", device.name, MAX_NAME_CHARS), ("kind", device.kind, MAX_KIND_CHARS)):
        if not (0 < len(text) <= most and text.isprintable() and text.strip() == text):
            raise DeviceRejected(
                f"A device's {field} is up to {most} printable characters, without spaces around it.",
                param=field,
            )
    unknown = sorted(set(device.scopes) - set(SCOPES))
    if unknown or not device.scopes:
        raise DeviceRejected(
            f"A device's scopes are some of {', '.join(SCOPES)}"
            + (f"; {', '.join(map(repr, unknown))} is none." if unknown else "; none are given."),
            param="scopes",
        )


def grant_of(device: Device, sign: Sign) -> str:
    """The household's statement that this device belongs to it: canonical JSON, a dot, and the signature."""
    fields = {
        "grant": 1,
        "id": device.id,
        "name": device.name,
        "kind": device.kind,
        "scopes": list(device.scopes),
        "public": device.public,
        "created_at": device.created_at,
    }
    statement = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    signature = sign(statement.encode("ascii"))
    return f"{statement}.{base64.b64encode(signature).decode('ascii')}"


def device_of(grant: str, device_id: str, verify: Verify) -> Device | None:
    """The device that a grant is about; None when the household did not sign it for this id."""
    statement, _, signature = grant.rpartition(".")
    try:
        genuine = verify(base64.b64decode(signature, validate=True), statement.encode("ascii"))
        if not genuine:
            return None
        fields = json.loads(statement)
        if fields.pop("grant") != 1 or fields["id"] != device_id:
            return None
        device = Device(**{**fields, "scopes": tuple(fields["scopes"])})
        check(device)
    except (ValueError, TypeError, KeyError, AttributeError, DeviceRejected):
        return None
    return device
