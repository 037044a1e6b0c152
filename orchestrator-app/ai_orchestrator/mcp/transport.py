"""How the MCP server is reached: over stdin and stdout, or over HTTP.

Standard output belongs to the protocol: the log and everything for people goes to stderr. No log
file is written, for several such processes share one data folder.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import anyio
from mcp.server.transport_security import TransportSecuritySettings
from orchestrator_core.errors import OrchestratorError, Overloaded, Unauthorized
from orchestrator_core.logs import configure_logging, stop_logging
from orchestrator_http.access import cors
from orchestrator_http.access.keys import KeyGuard, refuse_open_bind
from orchestrator_http.access.origins import HostGuard
from orchestrator_http.binding import bind, reachable_url
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ai_orchestrator.mcp.server import create_server

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

PATH = "/mcp"
MAX_BODY_BYTES = 9 * 1024 * 1024
"""A document of 4 MiB, escaped as JSON."""

STOP_S = 3
"""How long calls under way may take to end when the server is stopped."""

_CHATTY = ("mcp", "uvicorn", "httpx")


def serve_stdio(settings: Settings) -> None:
    """Answer on stdin and stdout until stdin ends."""
    _log_to_stderr(settings)
    try:
        anyio.run(create_server(settings).run_stdio_async)
    finally:
        stop_logging()


def serve_http(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Listen on `settings.server.host` and `.port` until SIGINT or SIGTERM.

    Args:
        say: writes a line for the person who started it.

    Raises:
        ConfigurationError: open bind without a key, or an address that cannot be used.
    """
    import uvicorn

    server = settings.server
    refuse_open_bind(server)
    _log_to_stderr(settings)
    try:
        sockets = bind(server.host, server.port)
        config = uvicorn.Config(
            http_app(settings),
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=STOP_S,
            server_header=False,
        )
        say(
            f"MCP listens on {reachable_url(server.host, sockets[0].getsockname()[1])}{PATH}   (Ctrl-C stops it)"
        )
        try:
            uvicorn.Server(config).run(sockets=sockets)
        finally:
            for listening in sockets:
                listening.close()
    finally:
        stop_logging()


def http_app(settings: Settings) -> ASGIApp:
    """The whole HTTP application, with its guards."""
    app = create_server(settings).streamable_http_app(
        streamable_http_path=PATH,
        # Nothing is kept between requests: a restart, or another process, goes unnoticed.
        stateless_http=True,
        json_response=True,
        max_request_body_size=MAX_BODY_BYTES,
        # `Guarded` checks more.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    key = settings.server.api_key
    return Guarded(
        app,
        KeyGuard([key] if key is not None else []),
        HostGuard.of(settings.server),
    )


class Guarded:
    """Lets only requests through whose key, Host and Origin are right."""

    def __init__(self, app: ASGIApp, keys: KeyGuard, hosts: HostGuard) -> None:
        self._app = app
        self._keys = keys
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app, origin = self._app, None
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                origin = self._hosts.check(headers.get("host"), headers.get("origin"))
                app = self._checked(scope, headers, foreign=origin is not None)
            except OrchestratorError as error:
                app = _refusal(error)
        await app(scope, receive, send if origin is None else _readable_by(origin, send))

    def _checked(self, scope: Scope, headers: Headers, *, foreign: bool) -> ASGIApp:
        """What answers: the app, or a browser's preflight is answered here."""
        if foreign and cors.is_preflight(scope["method"], headers.get):
            return Response(status_code=204, headers=cors.preflight_headers(headers.get))
        self._keys.check(headers.get("authorization"), (scope.get("client") or ("unknown",))[0])
        return self._app


def _readable_by(origin: str, send: Send) -> Send:
    """`send` with the headers that let a page of another origin read the answer."""

    async def readable(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(cors.answer_headers(origin))
            headers.add_vary_header("Origin")
        await send(message)

    return readable


def _refusal(error: OrchestratorError) -> Response:
    headers = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Overloaded) and error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return Response(
        json.dumps(error.body()), status_code=error.status, headers=headers, media_type="application/json"
    )


def _log_to_stderr(settings: Settings, noisy: Sequence[str] = _CHATTY) -> None:
    configure_logging(settings.log, None, console=True)
    for name in noisy:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
