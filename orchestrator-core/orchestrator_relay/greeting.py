"""The first two frames of a connection: HELLO by the side that dialled, WELCOME or GOODBYE back."""

from __future__ import annotations

import contextlib

from orchestrator_relay.errors import BadFrame, GreetingRefused, SocketClosed
from orchestrator_relay.frames import PROTOCOL, Frame, FrameKind, decode, encode
from orchestrator_relay.heads import PROTOCOL_ERROR, SILENT, VERSION, Goodbye, Hello, Welcome
from orchestrator_relay.outbox import Messages

GREETING_S = 10.0
"""How long a greeting may take."""


def introduce(socket: Messages, hello: Hello, timeout_s: float = GREETING_S) -> Welcome:
    """For the side that dialled.

    Raises:
        GreetingRefused: the other side said why, or said nothing, or what it said was no greeting.
        SocketClosed: it closed the connection without a word.
    """
    socket.send(encode(FrameKind.HELLO, 0, hello.pack()))
    try:
        welcome = Welcome.unpack(_expect(socket, FrameKind.WELCOME, timeout_s).payload)
    except BadFrame as error:
        raise refuse(socket, PROTOCOL_ERROR, f"It sent {error}.") from None
    if welcome.protocol != PROTOCOL:
        raise refuse(socket, VERSION, _update(desktop=PROTOCOL, vps=welcome.protocol))
    return welcome


def receive_hello(socket: Messages, timeout_s: float = GREETING_S) -> Hello:
    """For the side that was dialled; it answers with `welcome` or `refuse`.

    Raises:
        GreetingRefused, SocketClosed: as `introduce`.
    """
    try:
        hello = Hello.unpack(_expect(socket, FrameKind.HELLO, timeout_s).payload)
    except BadFrame as error:
        raise refuse(socket, PROTOCOL_ERROR, f"It sent {error}.") from None
    if hello.protocol != PROTOCOL:
        raise refuse(socket, VERSION, _update(desktop=hello.protocol, vps=PROTOCOL))
    return hello


def welcome(socket: Messages, message: Welcome) -> None:
    """
    Raises:
        SocketClosed.
    """
    socket.send(encode(FrameKind.WELCOME, 0, message.pack()))


def refuse(socket: Messages, code: str, message: str, address: str | None = None) -> GreetingRefused:
    """Say why there will be no connection, and close. Returns the error, to be raised or not."""
    goodbye = Goodbye(code=code, message=message[:2000], address=address)
    with contextlib.suppress(SocketClosed):
        socket.send(encode(FrameKind.GOODBYE, 0, goodbye.pack()))
    socket.close()
    return GreetingRefused(code, message, address)


def _update(*, desktop: int, vps: int) -> str:
    """The same on both sides: each shows it to its own owner."""
    older = "desktop" if desktop < vps else "VPS"
    return f"The desktop speaks protocol {desktop} and the VPS protocol {vps}: update the {older}."


def _expect(socket: Messages, kind: FrameKind, timeout_s: float) -> Frame:
    message = socket.receive(timeout_s)
    if message is None:
        raise refuse(socket, SILENT, f"It said nothing for {timeout_s:g} s.")
    frame = decode(message)
    if frame.kind is FrameKind.GOODBYE:
        goodbye = Goodbye.unpack(frame.payload)
        socket.close()
        raise GreetingRefused(goodbye.code, goodbye.message, goodbye.address)
    if frame.kind is not kind:
        raise BadFrame(f"a {frame.kind.name} frame where {kind.name} has to come")
    return frame
