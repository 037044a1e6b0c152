"""The two ends of a relay connection in one process, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator_relay.connection import RelayConnection
from orchestrator_relay.heads import RequestHead
from orchestrator_relay.message_socket import MessageSocket
from orchestrator_relay.server_stream import RequestBody, Serve, ServedResponse
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Who dialled, and who was dialled."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        dialled = socket.create_connection(server.getsockname())
        return dialled, server.accept()[0]


def ws_pair(dialled: socket.socket, listening: socket.socket) -> tuple[WSConnection, WSConnection]:
    """The handshake over these sockets, done."""
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    dialled.sendall(client.send(Request(host="relay", target="/relay")))
    server.receive_data(listening.recv(65536))
    list(server.events())
    listening.sendall(server.send(AcceptConnection()))
    client.receive_data(dialled.recv(65536))
    list(client.events())
    return client, server


def message_sockets(**options: Any) -> tuple[MessageSocket, MessageSocket]:
    dialled, listening = tcp_pair()
    client, server = ws_pair(dialled, listening)
    return MessageSocket(dialled, client, **options), MessageSocket(listening, server, **options)


@contextmanager
def connected(
    serve: Serve, *, desktop: dict[str, Any] | None = None, vps: dict[str, Any] | None = None
) -> Iterator[tuple[RelayConnection, RelayConnection]]:
    """The asking end (VPS) and the answering end (desktop), running; both are closed and have
    ended, with all their threads, when the block is left."""
    dialled, listening = message_sockets()
    answering = RelayConnection(dialled, serve=serve, **{"name": "desktop-end", **(desktop or {})})
    asking = RelayConnection(listening, **{"name": "vps-end", **(vps or {})})
    readers = [threading.Thread(target=one.run) for one in (answering, asking)]
    for reader in readers:
        reader.start()
    try:
        yield asking, answering
    finally:
        asking.close()
        answering.close()
        for reader in readers:
            reader.join(10)
            assert not reader.is_alive()


@contextmanager
def half_connected(
    *, serve: Serve | None = None, **options: Any
) -> Iterator[tuple[RelayConnection, MessageSocket]]:
    """A running connection, and the bare socket of its other side for a test that misbehaves."""
    near, far = message_sockets()
    connection = RelayConnection(near, serve=serve, **options)
    reader = threading.Thread(target=connection.run)
    reader.start()
    try:
        yield connection, far
    finally:
        connection.close()
        reader.join(10)
        assert not reader.is_alive()
        far.release()


def answering(body: Iterable[bytes] | Callable[[], Iterable[bytes]], status: int = 200) -> Serve:
    """Answers every request in the same way."""

    def serve(head: RequestHead, given: RequestBody) -> ServedResponse:
        return ServedResponse(status, (("X-Path", head.target),), body() if callable(body) else body)

    return serve


def echo(head: RequestHead, body: RequestBody) -> ServedResponse:
    """Answers with the body of the request."""
    return ServedResponse(200, (), [body.read()])


def get(target: str = "/") -> RequestHead:
    return RequestHead(method="GET", target=target)
