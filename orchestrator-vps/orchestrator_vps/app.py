"""The VPS's Flask app: the routes both servers share, and what this tier adds."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.metadata import version

from flask import Flask
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.backend import ChatBackend
from orchestrator_core.backends.switching import backend_for_server
from orchestrator_core.settings import Settings
from orchestrator_http.access.keys import refuse_open_bind
from orchestrator_http.factory import create_http_app
from orchestrator_http.services import Services

from orchestrator_vps import push_route
from orchestrator_vps.api_key import provide_key
from orchestrator_vps.credentials import Credentials
from orchestrator_vps.enrolment import Enrolment
from orchestrator_vps.hub import Hub
from orchestrator_vps.proxied import Front
from orchestrator_vps.relay_route import relay_api
from orchestrator_vps.relaying import Relaying

TIER = "vps"
LOST_STATUSES = (502, 503)
"""What a relayed request can end with: a desktop that was lost, or is away and the only one who could answer."""
_HUB = "orchestrator_hub"
_CLOSE = "orchestrator_close"


def create_app(
    settings: Settings, assistant: Assistant | None = None, *, backend: ChatBackend | None = None
) -> Flask:
    """The app. The model is loaded in the background: `/health` answers at once, `/ready` when
    this tier can answer questions by itself. `close_app` ends what was opened.

    Args:
        assistant: an open one, which stays the caller's to close; None opens one.
        backend: for the one that is opened, instead of what the settings name.

    Raises:
        ConfigurationError: the settings cannot work, or the key cannot be kept.
        StoreLocked: another server holds the data folder.
        StoreError: a database in it cannot be used.
    """
    provide_key(settings)
    refuse_open_bind(settings.server)
    with ExitStack() as opened:
        credentials = Credentials(settings.data)
        opened.callback(credentials.close)
        hub = Hub(settings.relay, credentials, tier=TIER, version=version("orchestrator"))
        if assistant is None:
            assistant = open_assistant(
                settings, tier=TIER, backend=backend or backend_for_server(settings), remote=hub
            )
            opened.callback(assistant.close)
        opened.callback(hub.close)
        services = Services.around(settings, assistant, version=version("orchestrator"))
        services.notices.append(hub.notices)
        hub.attach(services.replica, services.changes, services.household)
        opened.callback(services.changes.close)
        enrolment = Enrolment(
            credentials,
            extra=settings.relay.extra_desktops,
            connected=hub.connected,
            drop=hub.drop,
            used=hub.used,
        )
        app = create_http_app(
            services,
            apis=[enrolment.api, relay_api(hub), push_route.api],
            verifiers=[enrolment.verify],
            further_statuses=LOST_STATUSES,
        )
        Relaying(app, services, hub)
        app.wsgi_app = Front(app.wsgi_app)  # type: ignore[method-assign]
        app.extensions[_HUB] = hub
        app.extensions[_CLOSE] = opened.pop_all()
    services.household.identity  # noqa: B018 - made at the first start
    services.model.start()
    return app


def app_services(app: Flask) -> Services:
    """What the routes of this app work with."""
    return Services.of(app)


def app_hub(app: Flask) -> Hub:
    """The desktops connected to this app."""
    hub: Hub = app.extensions[_HUB]
    return hub


def close_app(app: Flask) -> None:
    """End the desktops' connections and close what `create_app` opened. Idempotent."""
    stack: ExitStack = app.extensions[_CLOSE]
    stack.close()
