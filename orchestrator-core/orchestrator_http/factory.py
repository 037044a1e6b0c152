"""The Flask app of a server: edge, routes, OpenAPI. Each tier adds what is its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from flask import Flask, Response, current_app

from orchestrator_http import edge
from orchestrator_http.access.keys import FailedAttempts, KeyGuard, refuse_open_bind
from orchestrator_http.access.origins import HostGuard
from orchestrator_http.api import JSON, Api
from orchestrator_http.chat_page import pages_api
from orchestrator_http.openapi import document
from orchestrator_http.routes import SHARED
from orchestrator_http.services import Services

TITLE = "Orchestrator"
_DOCUMENT = "orchestrator_openapi"
_KEYS = "orchestrator_keys"


def create_http_app(
    services: Services,
    *,
    apis: Sequence[Api] = (),
    verifiers: Sequence[Callable[[str], bool]] = (),
    further_statuses: Sequence[int] = (),
) -> Flask:
    """The app with the chat page and every route both servers share.

    Args:
        apis: further declared routes of this tier.
        verifiers: know keys besides `server.api_key`; see `KeyGuard`.
        further_statuses: errors that any route behind the key can answer on this tier.

    Raises:
        ConfigurationError: the bind address is not loopback and there is no key.
    """
    server = services.settings.server
    refuse_open_bind(server)
    app = Flask("orchestrator", static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = server.max_body_bytes
    services.attach(app)
    keys = KeyGuard(
        [server.api_key] if server.api_key else [],
        FailedAttempts(
            first=lambda address, what: services.access.note("refused", address=address, detail=what)
        ),
        verifiers=verifiers,
        named=lambda key: services.access.holder(key),
    )
    app.extensions[_KEYS] = keys
    edge.guard(app, services, keys, HostGuard.of(server))
    about = Api("about")
    about.route("GET", "/openapi.json", summary="This API, as an OpenAPI 3.1 document", answered_by="here")(
        _openapi
    )
    everything = [*SHARED, *apis, about, pages_api()]
    for api in everything:
        api.attach(app)
    app.extensions[_DOCUMENT] = document(
        [operation for api in everything if api.documented for operation in api.operations],
        title=TITLE,
        version=services.version,
        locked=keys.required,
        further_statuses=further_statuses,
    )
    return app


def key_guard(app: Flask) -> KeyGuard:
    """The app's own, for a tier that answers addresses without a view: those are not guarded here."""
    keys: KeyGuard = app.extensions[_KEYS]
    return keys


def _openapi() -> Response:
    return Response(json.dumps(current_app.extensions[_DOCUMENT]), content_type=JSON)
