"""A phone that belongs to the household of a server in this process, without the ceremony of pairing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mobile_sync.membership import Membership
from orchestrator_http.access.household import Household
from orchestrator_relay.identity.machine import Identity, PublicIdentity
from shared_context.conversations.store import ConversationStore

SCOPES = ("ask", "memory")


def let_in(desktop: Path, phone: Path) -> PublicIdentity:
    """Lets the keys in the folder `phone` in by way of a desktop's data folder that no server holds; the household's keys."""
    identity = Identity.load_or_create(phone)
    desktop.mkdir(parents=True, exist_ok=True)
    with ConversationStore.open(desktop / "memory.db") as store:
        household = Household(desktop, store, "desktop")
        household.devices.add(
            identity.id, name="Pixel", kind="phone", public=identity.public.text(), scopes=SCOPES
        )
        return household.identity.public


def paired(services: Any, data: Path, **fields: Any) -> Membership:
    """Lets the keys in `data` into the household of these services; what pairing would write, written.

    Args:
        fields: of the `Membership`.
    """
    identity = Identity.load_or_create(data)
    household = services.household
    household.devices.add(
        identity.id, name="Pixel", kind="phone", public=identity.public.text(), scopes=SCOPES
    )
    membership = Membership(household.identity.public, "Pixel", **fields)
    membership.write(data)
    return membership
