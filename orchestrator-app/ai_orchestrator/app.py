"""The desktop's Flask app: what both servers share, and ending a session."""

from __future__ import annotations

from importlib.metadata import version

from flask import Flask
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.assistant.debounced import Debounced
from orchestrator_core.backends.switching import backend_for_server
from orchestrator_core.settings import Settings
from orchestrator_http.access.keys import refuse_open_bind
from orchestrator_http.factory import create_http_app
from orchestrator_http.routes import handoff
from orchestrator_http.services import Services

from ai_orchestrator import model_gate
from ai_orchestrator.jobs.routes import jobs_apis
from ai_orchestrator.jobs.runner import JobRunner
from ai_orchestrator.jobs.store import JobStore
from ai_orchestrator.overflow import EnrolledVps
from ai_orchestrator.pairing.reachable import Bound
from ai_orchestrator.pairing.routes import pairing_api
from ai_orchestrator.vps_link.push_tier import PushTier

TIER = "desktop"
QUIET_S = 20.0
"""Without a new message, before a session is read ahead."""


def create_app(settings: Settings, assistant: Assistant | None = None, bound: Bound | None = None) -> Flask:
    """The app. The model is loaded in the background: `/health` answers at once, `/ready` when
    it can answer questions.

    Args:
        assistant: an open one, which stays the caller's to close; None opens one, which is
            `app_services(app).assistant`.
        bound: where the server listens; by default on loopback only.

    Raises:
        ConfigurationError: the address is open to others and no key is set.
        StoreLocked: another server holds the data folder.
        StoreError: a database in it cannot be used.
    """
    refuse_open_bind(settings.server)
    vps = None
    if assistant is None:
        vps = None if settings.relay.overflow_queue is None else EnrolledVps(settings)
        assistant = open_assistant(settings, tier=TIER, backend=backend_for_server(settings), remote=vps)
    services = Services.around(
        settings,
        assistant,
        version=version("orchestrator"),
        next_tier=PushTier(settings),
        gate=model_gate.check,
    )
    if vps is not None:
        vps.replica = services.replica
        assistant.also_close(vps.close)
        # Begins to watch it: the first question may name it.
        vps.state()
    runner = JobRunner(
        JobStore(settings), busy=lambda: bool(services.assistant.runs.active()), idle_s=settings.jobs.idle_s
    )
    app = create_http_app(services, apis=[handoff.api, pairing_api(bound or Bound()), *jobs_apis(runner)])
    services.model.start()
    _read_sessions_ahead(services)
    assistant.also_close(runner.close)
    runner.start()
    return app


def _read_sessions_ahead(services: Services) -> None:
    """While nobody asks, let the model read what was said, so that ending a session need not wait for it."""
    assistant = services.assistant
    if assistant.context is None:
        return

    def read() -> None:
        for conversation in assistant.conversations.list(limit=1):
            services.handoffs.read_ahead(conversation.conversation_id)

    reading = Debounced(read, "reading ahead of a handoff", quiet_s=QUIET_S)
    stop_listening = assistant.conversations.database.on_commit(reading.changed)
    assistant.also_close(stop_listening)
    assistant.also_close(reading.close)
    reading.start()


def app_services(app: Flask) -> Services:
    """What the routes of this app work with."""
    return Services.of(app)
