"""`GET /relay`: where a desktop dials in. The request's thread belongs to its connection until it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Response, g, request
from orchestrator_core.errors import Forbidden, InvalidRequest
from orchestrator_http.api import Api
from orchestrator_relay.accept import accept
from orchestrator_relay.errors import HandshakeRejected

from orchestrator_vps.credentials import EnrolledDesktop
from orchestrator_vps.hub import Hub
from orchestrator_vps.proxied import UPGRADE


class HandedOver(Response):
    """The socket is not the web server's any more: nothing may be written to it."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.close()
        # gunicorn's way of ending a connection without an answer.
        raise StopIteration


def relay_api(hub: Hub) -> Api:
    api = Api("relay")

    @api.route(
        "GET",
        "/relay",
        summary="Where a desktop dials in (WebSocket)",
        status=101,
        media=(),
        answered_by="here",
        for_desktop="any",
    )
    def dial_in() -> Response:
        """docs/relay.md tells the protocol. Only for the credential of an enrolled desktop."""
        desktop: EnrolledDesktop | None = g.get("desktop")
        if desktop is None:
            raise Forbidden(
                "Only an enrolled desktop may connect here.",
                code="not_a_desktop",
                hint="At home, `orchestrator vps enroll URL CODE` makes it one.",
            )
        try:
            socket = accept({**request.environ, "HTTP_UPGRADE": request.environ.get(UPGRADE, "")})
        except HandshakeRejected as error:
            raise InvalidRequest(error.message, hint=error.hint) from None
        hub.serve(desktop, socket, request.remote_addr or "")
        return HandedOver()

    return api
