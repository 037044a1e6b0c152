"""docs/relay.md says what the code does: its tables, and its example played against both ends."""

import re
import threading
from pathlib import Path

from orchestrator_relay import flow, frames, greeting, heads, message_socket
from orchestrator_relay.connection import RelayConnection
from orchestrator_relay.frames import Frame, FrameKind, decode
from orchestrator_relay.heads import Hello, RequestHead, Status, Welcome
from orchestrator_relay.outbox import MAX_REPLIES
from support.relay_ends import echo, message_sockets

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "relay.md").read_text()
SOON_S = 20.0


def example() -> list[tuple[str, bytes]]:
    block = re.search(r"^```frames\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert block is not None
    rows = []
    for line in block[1].splitlines():
        who, kind, *octets = line.split()
        message = bytes.fromhex("".join(octets))
        assert decode(message).kind.name == kind
        rows.append((who, message))
    return rows


def sent_by(who: str) -> list[bytes]:
    return [message for sender, message in example() if sender == who]


def test_the_table_of_kinds() -> None:
    rows = re.findall(r"^\| `([0-9a-f]{2})` \| ([A-Z]+) \| (.+?) \| .* \| ([\d–]+) \|$", TEXT, re.MULTILINE)
    assert {(int(number, 16), name) for number, name, _, _ in rows} == {
        (int(one), one.name) for one in FrameKind
    }
    for _, name, _, sizes in rows:
        smallest, _, largest = sizes.partition("–")
        assert frames._SIZES[FrameKind[name]] == (int(smallest), int(largest or smallest)), name


def test_the_numbers_in_the_text() -> None:
    for said in (
        f"more than {frames.MAX_FRAME_BYTES:,} bytes",
        f"window of {flow.WINDOW:,} bytes",
        f"pieces of {flow.GRANT // 1024} KiB",
        f"at most {heads.MAX_HEADERS};",
        f"each within {greeting.GREETING_S:g} seconds",
        f"{heads.MAX_BODY_BYTES // 1024**2} MiB",
        f"| {MAX_REPLIES}, then",
        f"{message_socket.PROTOCOL_ERROR} (no WebSocket frame), {message_socket.UNSUPPORTED} (text), "
        f"{message_socket.TOO_BIG} (too large)",
    ):
        assert said in TEXT, said


def test_every_goodbye_is_explained() -> None:
    codes = {
        value
        for name, value in vars(heads).items()
        if name.isupper() and isinstance(value, str) and value.isidentifier() and value != heads.LOST
    }
    assert codes <= set(re.findall(r"^\| `([a-z_]+)` \|", TEXT, re.MULTILINE))


def test_the_examples_vps_is_understood_by_our_desktop() -> None:
    near, far = message_sockets()
    desktop_frames = [decode(message) for message in sent_by("desktop")]
    vps_frames = sent_by("vps")
    far.send(vps_frames[0])
    assert greeting.introduce(near, Hello(name="study")) == Welcome(tier="vps")
    assert _next(far, FrameKind.HELLO).payload.startswith(desktop_frames[0].payload[:-1])
    notices: list[str] = []
    desktop = RelayConnection(
        near, serve=echo, heartbeat_s=60, status=lambda: Status(ready=True), on_notice=notices.append
    )
    reader = threading.Thread(target=desktop.run)
    reader.start()
    for message in vps_frames[1:]:
        far.send(message)
    assert _next(far, FrameKind.PONG) == desktop_frames[1]
    assert _next(far, FrameKind.HEAD).stream == 1
    assert _next(far, FrameKind.CHUNK) == desktop_frames[4]
    assert _next(far, FrameKind.END) == desktop_frames[5]
    assert notices == [decode(vps_frames[2]).payload.decode()]
    desktop.goodbye(heads.STOPPING)
    assert heads.Goodbye.unpack(_next(far, FrameKind.GOODBYE).payload).code == heads.STOPPING
    reader.join(SOON_S)
    far.release()


def test_the_examples_desktop_is_understood_by_our_vps() -> None:
    near, far = message_sockets()
    hello, pong, synced, head, chunk, end, goodbye = sent_by("desktop")
    far.send(hello)
    assert greeting.receive_hello(near) == Hello(name="study")
    greeting.welcome(near, Welcome(tier="vps"))
    seen: list[str] = []
    vps = RelayConnection(near, heartbeat_s=60, on_synced=seen.append)
    reader = threading.Thread(target=vps.run)
    reader.start()
    assert _next(far, FrameKind.PING).payload[:4] == decode(pong).payload[:4]
    vps.notice(decode(synced).payload.decode())
    for message in (pong, synced):
        far.send(message)

    def answer() -> None:
        assert _next(far, FrameKind.REQUEST).stream == 1
        assert _next(far, FrameKind.BODY).payload == b"hi"
        for message in (head, chunk, end, goodbye):
            far.send(message)

    answering = threading.Thread(target=answer)
    answering.start()
    stream = vps.open(RequestHead(method="POST", target="/echo"), b"hi")
    assert (stream.status, b"".join(stream.chunks())) == (200, b"hi")
    ending = vps.wait(SOON_S)
    assert ending is not None and (ending.code, ending.by_peer) == (heads.STOPPING, True)
    assert vps.peer == Status(ready=True)
    assert len(seen) == 1
    answering.join(SOON_S)
    reader.join(SOON_S)
    far.release()


def _next(far: message_socket.MessageSocket, kind: FrameKind) -> Frame:
    while (frame := decode(far.receive(SOON_S) or b"")).kind is not kind:
        pass
    return frame
