"""Push as a server has it: its files in the data folder, and where its news come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.settings import Settings

from orchestrator_http.push.application_key import ApplicationKey
from orchestrator_http.push.composing import Composer
from orchestrator_http.push.conflicts import watch_conflicts
from orchestrator_http.push.delivery import WebPushSender
from orchestrator_http.push.pushing import NextTier, Push
from orchestrator_http.push.store import PushStore

if TYPE_CHECKING:
    from orchestrator_core.assistant import Assistant

    from orchestrator_http.access.household import Household

FILE_NAME = "push.db"


def open_push(
    settings: Settings, assistant: Assistant, household: Household, next_tier: NextTier | None = None
) -> Push:
    """Tells of what this assistant has to tell, until it is closed.

    Args:
        household: knows which devices were revoked.
        next_tier: sends in this one's place while it is present.

    Raises:
        ConfigurationError: the key cannot be kept. StoreError: the database cannot be used.
    """
    key = ApplicationKey(settings.data)
    sender = WebPushSender(key, contact=settings.push.contact, local_services=settings.push.local_services)

    push = Push(
        PushStore(settings.data / FILE_NAME),
        sender,
        Composer(assistant),
        next_tier=next_tier,
        was_revoked=household.devices.is_revoked,
    )
    assistant.also_close(push.close)
    assistant.news.listen(push.tell)
    if assistant.context is not None:
        watch_conflicts(assistant.context, push.tell)
    push.start()
    return push
