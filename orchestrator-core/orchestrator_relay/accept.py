"""The answering end's socket: a WebSocket handshake inside a WSGI request."""

from __future__ import annotations

from typing import Any

from orchestrator_relay.errors import HandshakeRejected
from orchestrator_relay.message_socket import MessageSocket


def accept(environ: dict[str, Any], *, stall_s: float = 30.0) -> MessageSocket:
    """Answer the request with `101 Switching Protocols`; its socket belongs to the relay from now
    on. The WSGI server must give its socket away (gunicorn's thread workers and Werkzeug do).

    Raises:
        HandshakeRejected: it is no WebSocket handshake.
    """
    import simple_websocket
    from wsproto.utilities import RemoteProtocolError

    if "websocket" not in environ.get("HTTP_UPGRADE", "").lower():
        raise HandshakeRejected("This address wants a WebSocket.", hint="docs/relay.md tells the protocol.")
    try:
        server = simple_websocket.Server.accept(environ, thread_class=_NoThread)
    except (simple_websocket.ConnectionError, RemoteProtocolError):
        raise HandshakeRejected("The WebSocket handshake is wrong.") from None
    return MessageSocket(server.sock, server.ws, stall_s=stall_s)


class _NoThread:
    """Takes the place of the thread that would read the socket: `MessageSocket` reads it."""

    name = ""

    def __init__(self, target: object) -> None:
        pass

    def start(self) -> None:
        pass
