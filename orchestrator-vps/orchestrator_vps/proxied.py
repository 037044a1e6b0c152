"""What gunicorn and nginx know of a client, in the terms the app reads.

Covered: the client's address behind a proxy of this machine, for logs and limits; and whether a
client has left, for answers that wait.
Not covered: proxies on other machines; their header is not believed, for any client could write it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator_http.access.origins import is_loopback
from werkzeug.middleware.proxy_fix import ProxyFix

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

GONE = "waitress.client_disconnected"
"""The name under which the shared routes look for a server's check; waitress has one of its own."""

UPGRADE = "orchestrator.upgrade"
"""Where the header is kept from Werkzeug, which finds no route for a WebSocket among those for HTTP."""


class Front:
    """A WSGI app around another. Only a peer on loopback is a proxy."""

    def __init__(self, app: Application) -> None:
        self._direct = app
        self._proxied = ProxyFix(app, x_for=1, x_proto=1)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        sock = environ.get("gunicorn.socket")
        if isinstance(sock, socket.socket):
            environ[GONE] = lambda: has_left(sock)
        if "HTTP_UPGRADE" in environ:
            environ[UPGRADE] = environ.pop("HTTP_UPGRADE")
        app = self._proxied if is_loopback(environ.get("REMOTE_ADDR", "")) else self._direct
        return app(environ, start_response)


def has_left(sock: socket.socket) -> bool:
    """Whether the other side has closed its end; asks the kernel, never waits."""
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except (BlockingIOError, InterruptedError):
        return False
    except (OSError, ValueError):
        return True
