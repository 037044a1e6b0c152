"""The dialling end's socket: TCP, TLS and a WebSocket handshake, each within a time limit.

simple-websocket's client knows no time limit, tries one address only and cannot tell what a server said
when it refused; the handshake itself is wsproto's here too.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Event, RejectConnection, RejectData, Request
from wsproto.utilities import RemoteProtocolError

from orchestrator_relay.errors import CertificateRejected, DialFailed, DialRefused
from orchestrator_relay.message_socket import MessageSocket

PATH = "/relay"
MAX_REFUSAL_BYTES = 16 * 1024


def dial(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
    timeout_s: float = 10.0,
    stall_s: float = 30.0,
) -> MessageSocket:
    """
    Args:
        url: of the server, `https://…` or `http://…`; `/relay` is added.
        context: who is trusted; needed for https.
        timeout_s: for each of: connecting to one address, TLS, the handshake.

    Raises:
        DialFailed, DialRefused.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    try:
        sock = socket.create_connection((host, parts.port or (443 if secure else 80)), timeout_s)
    except OSError as error:
        raise _failure(error) from None
    try:
        if secure:
            sock = (context or ssl.create_default_context()).wrap_socket(sock, server_hostname=host)
        ws = _handshake(sock, parts.netloc, parts.path.rstrip("/") + PATH, headers or {}, timeout_s)
        return MessageSocket(sock, ws, stall_s=stall_s)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise _failure(error) from None
        raise


def _handshake(
    sock: socket.socket, host: str, path: str, headers: Mapping[str, str], timeout_s: float
) -> WSConnection:
    ws = WSConnection(ConnectionType.CLIENT)
    extra = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    sock.sendall(ws.send(Request(host=host, target=path, extra_headers=extra)))
    deadline = time.monotonic() + timeout_s
    refusal: RejectConnection | None = None
    received = b""
    while True:
        event = _next_event(ws, sock, deadline)
        match event:
            case AcceptConnection():
                return ws
            case RejectConnection():
                refusal = event
            case RejectData():
                received += event.data
        finished = isinstance(event, RejectData) and event.body_finished
        if refusal is not None and (finished or not refusal.has_body or len(received) > MAX_REFUSAL_BYTES):
            raise _refused(refusal.status_code, received)


def _next_event(ws: WSConnection, sock: socket.socket, deadline: float) -> Event:
    """
    Raises:
        DialFailed: it does not speak HTTP. OSError: it is gone, or says nothing.
    """
    try:
        while (event := next(ws.events(), None)) is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("timed out")
            sock.settimeout(left_s)
            data = sock.recv(65536)
            if not data:
                raise DialFailed("the connection was closed before an answer came")
            ws.receive_data(data)
    except RemoteProtocolError:
        raise DialFailed("what answers there is no relay") from None
    return event


def _refused(status: int, said: bytes) -> DialRefused:
    """Only our own error body is quoted: a proxy's page says nothing to anybody."""
    code, why = "", f"it answered {status}"
    try:
        error = json.loads(said)["error"]
        code, why = str(error["code"])[:40], f"it answered {status}: {str(error['message'])[:300]}"
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return DialRefused(status, code, why)


def _failure(error: OSError) -> DialFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateRejected(f"its certificate is not trusted ({error.verify_message})")
    return DialFailed(_why(error))


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return error.strerror or type(error).__name__
