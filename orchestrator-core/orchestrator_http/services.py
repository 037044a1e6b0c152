"""What the routes need of the rest of the program, in one place per server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from flask import Flask, current_app, request
from orchestrator_core.assistant.minutes import proposer_of
from orchestrator_core.backends.activation import Activator, Gate, open_gate
from orchestrator_core.backends.switching import SwitchingBackend
from orchestrator_core.errors import NotFound, Overloaded
from orchestrator_core.handoff.session import Handoffs
from orchestrator_core.metrics import Metrics
from orchestrator_core.remembered import Remembered
from orchestrator_core.settings import Settings
from orchestrator_core.tiers.router import HOME
from orchestrator_relay.identity.pairing import PairingRequest
from orchestrator_relay.wsgi_call import is_relayed
from shared_context.exchange.change_feed import ChangeFeed
from shared_context.exchange.replica import Replica

from orchestrator_http.access.household import Household
from orchestrator_http.access.keys import FailedAttempts
from orchestrator_http.access.pairings import Pairings
from orchestrator_http.access.store import Access
from orchestrator_http.completions.response_cache import ResponseCache
from orchestrator_http.push.opening import open_push
from orchestrator_http.push.pushing import NextTier, Push
from orchestrator_http.readiness import ModelLoader

if TYPE_CHECKING:
    from orchestrator_core.assistant import Assistant

_KEY = "orchestrator"
MAX_KEPT_RESPONSES_CHARS = 16 * 1024 * 1024
"""Responses of `/v1/responses` with their conversations, for `previous_response_id`."""

RESERVED_THREADS = 4
"""Server threads kept for short requests while all others hold streams."""


class Slots:
    """How many requests may wait for answers at once; the rest of the threads stay free."""

    def __init__(self, count: int) -> None:
        self._count = max(1, count)
        self._lock = threading.Lock()
        self._taken = 0

    @property
    def taken(self) -> int:
        return self._taken

    def take(self) -> None:
        """
        Raises:
            Overloaded: every slot is taken.
        """
        with self._lock:
            if self._taken >= self._count:
                raise Overloaded("Too many answers are being watched on this server at once.")
            self._taken += 1

    def give_back(self) -> None:
        with self._lock:
            self._taken -= 1

    @contextmanager
    def hold(self) -> Iterator[None]:
        self.take()
        try:
            yield
        finally:
            self.give_back()


@dataclass
class Services:
    """
    Args:
        slots: of the listener's own requests; see `places`.
        stopping: set when no new work is taken any more.
        closing: set when streams have to end as well.
        notices: each says what the owner has to know and to act upon.
        next_tier: sends push messages in this server's place, where there is one.
    """

    settings: Settings
    assistant: Assistant
    model: ModelLoader
    metrics: Metrics
    slots: Slots
    version: str
    activator: Activator
    cache: ResponseCache = field(default_factory=ResponseCache)
    responses: Remembered[str, str] = field(
        default_factory=lambda: Remembered(MAX_KEPT_RESPONSES_CHARS, size=len)
    )
    stopping: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    pairing_attempts: FailedAttempts = field(default_factory=FailedAttempts)
    notices: list[Callable[[], list[str]]] = field(default_factory=list)
    next_tier: NextTier | None = None
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def around(
        cls,
        settings: Settings,
        assistant: Assistant,
        *,
        version: str,
        next_tier: NextTier | None = None,
        gate: Gate = open_gate,
    ) -> Services:
        """
        Args:
            gate: see `Activator`.

        Raises:
            ConfigurationError, StoreError: what push keeps cannot be used.
        """
        backend, runs, memory = assistant.backend, assistant.runs, assistant.memory
        model = ModelLoader(backend)
        if isinstance(backend, SwitchingBackend):
            backend.on_switch(model.start)
        here = cls(
            settings=settings,
            assistant=assistant,
            model=model,
            activator=Activator(settings, backend, gate=gate),
            metrics=Metrics(
                backend.stats,
                lambda: [str(run.state) for run in runs.active()],
                lambda: None if memory is None else memory.embedding_state(),
            ),
            slots=Slots(settings.server.threads - RESERVED_THREADS),
            version=version,
            next_tier=next_tier,
        )
        _ = here.push  # listens from now on
        return here

    @cached_property
    def push(self) -> Push:
        """Tells devices whose owner is not looking.

        Raises:
            ConfigurationError, StoreError: its files cannot be used.
        """
        return open_push(self.settings, self.assistant, self.household, self.next_tier)

    @cached_property
    def replica(self) -> Replica:
        """This server's memory, as a partner in exchanges."""
        return Replica(self.assistant.conversations, self.assistant.context, name=self.assistant.tier)

    @cached_property
    def household(self) -> Household:
        """This server's keys, and the devices that may ask."""
        return Household(self.settings.data, self.assistant.conversations, self.assistant.tier)

    @cached_property
    def access(self) -> Access:
        """Named keys, and the log of what happened at the door."""
        opened = Access(self.settings.data)
        self.assistant.also_close(opened.close)
        return opened

    @cached_property
    def pairings(self) -> Pairings | None:
        """Lets devices in; None on a tier that cannot."""
        if self.assistant.tier != HOME:
            return None
        household = self.household

        def note(request: PairingRequest) -> None:
            self.access.note("paired", subject=request.device.id, detail=request.name)

        return Pairings(household.identity, household.devices, note)

    @cached_property
    def handoffs(self) -> Handoffs:
        """Ends sessions.

        Raises:
            NotFound: this server keeps no context folder.
        """
        context = self.assistant.context
        if context is None:
            raise NotFound("This server keeps no context folder.")
        return Handoffs(self.assistant.conversations, context, proposer_of(self.assistant, self.model.ensure))

    @cached_property
    def changes(self) -> ChangeFeed:
        return ChangeFeed(self.replica)

    @cached_property
    def listeners(self) -> Slots:
        """How many may follow the memory's changes at once: each keeps a thread."""
        return Slots(self.settings.server.threads // 4)

    @cached_property
    def relayed(self) -> Slots:
        """Places of the requests that come over the relay: they take no thread of the listener."""
        return Slots(self.settings.relay.max_streams)

    @property
    def places(self) -> Slots:
        """Those that the current request takes one of while it waits for an answer."""
        return self.relayed if is_relayed(request.environ) else self.slots

    @staticmethod
    def of(app: Flask) -> Services:
        services: Services = app.extensions[_KEY]
        return services

    def attach(self, app: Flask) -> None:
        app.extensions[_KEY] = self

    def uptime_s(self) -> float:
        return time.monotonic() - self.began


def services() -> Services:
    """Those of the app that handles the current request."""
    return Services.of(current_app)
