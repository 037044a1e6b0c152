"""The frame codec: what is written is read back, and no bytes whatever do more than raise BadFrame."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_relay import frames
from orchestrator_relay.errors import BadFrame
from orchestrator_relay.frames import End, Frame, FrameKind, decode, encode
from orchestrator_relay.heads import Goodbye, Hello, RequestHead, ResponseHead, Status, Welcome

KINDS = st.sampled_from(list(FrameKind))
STREAMS = st.integers(0, frames.MAX_STREAM)


@given(KINDS, STREAMS, st.binary(max_size=300))
def test_what_can_be_encoded_is_decoded_to_the_same(kind: FrameKind, stream: int, payload: bytes) -> None:
    try:
        message = encode(kind, stream, payload)
    except BadFrame:
        return
    assert decode(message) == Frame(kind, stream, payload)


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda k, s, p: bytes((k,)) + s + p, KINDS, st.binary(min_size=4, max_size=4), st.binary(max_size=60)
    )
)
def test_any_bytes_are_a_frame_or_a_bad_frame(message: bytes) -> None:
    try:
        frame = decode(message)
    except BadFrame:
        return
    assert encode(*frame) == message
    for read in READERS.get(frame.kind, ()):
        with contextlib.suppress(BadFrame):
            read(frame)


READERS = {
    FrameKind.HELLO: [lambda frame: Hello.unpack(frame.payload)],
    FrameKind.WELCOME: [lambda frame: Welcome.unpack(frame.payload)],
    FrameKind.PING: [frames.ping_of, lambda frame: Status.unpack(frames.ping_of(frame)[1])],
    FrameKind.PONG: [frames.ping_of, lambda frame: Status.unpack(frames.ping_of(frame)[1])],
    FrameKind.NOTICE: [frames.digest_of],
    FrameKind.SYNCED: [frames.digest_of],
    FrameKind.GOODBYE: [lambda frame: Goodbye.unpack(frame.payload)],
    FrameKind.REQUEST: [lambda frame: RequestHead.unpack(frame.payload)],
    FrameKind.HEAD: [lambda frame: ResponseHead.unpack(frame.payload)],
    FrameKind.END: [frames.end_of],
    FrameKind.CREDIT: [frames.credit_of],
}


@given(KINDS, STREAMS, st.integers(0, frames.HEAD_BYTES + 2))
def test_sizes_and_streams_are_checked_on_both_ways(kind: FrameKind, stream: int, size: int) -> None:
    message = bytes((kind,)) + stream.to_bytes(4) + bytes(size)
    try:
        encode(kind, stream, bytes(size))
    except BadFrame:
        with pytest.raises(BadFrame):
            decode(message)
    else:
        decode(message)
    assert size <= frames.HEAD_BYTES or kind is not FrameKind.REQUEST or stream == 0 or _refused(message)


def _refused(message: bytes) -> bool:
    try:
        decode(message)
    except BadFrame:
        return True
    return False


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", "shorter than its header"),
        (b"\x10\x00\x00\x00", "shorter than its header"),
        (b"\x99\x00\x00\x00\x01", "unknown kind 0x99"),
        (b"\x13\x00\x00\x00\x01", "0 bytes, where 1 to 16384"),
        (b"\x13\x00\x00\x00\x01" + bytes(16385), "16385 bytes"),
        (b"\x13\x00\x00\x00\x00a", "CHUNK frame on stream 0"),
        (b"\x03\x00\x00\x00\x07" + bytes(6), "PING frame on stream 7"),
    ],
)
def test_says_what_is_wrong(message: bytes, words: str) -> None:
    with pytest.raises(BadFrame, match=words):
        decode(message)


def test_a_credit_is_at_least_one_byte_and_an_end_has_a_known_reason() -> None:
    assert frames.credit_of(decode(frames.encode_credit(3, 65536))) == 65536
    with pytest.raises(BadFrame):
        frames.credit_of(decode(frames.encode_credit(3, 0)))
    assert frames.end_of(decode(frames.encode_end(3, End.REFUSED))) is End.REFUSED
    with pytest.raises(BadFrame):
        frames.end_of(decode(encode(FrameKind.END, 3, b"\x09")))


def test_a_ping_carries_its_number_and_a_status() -> None:
    status = Status(queue=4, ready=True)
    number, packed = frames.ping_of(decode(frames.encode_ping(FrameKind.PING, 7, status.pack())))
    assert (number, Status.unpack(packed)) == (7, status)


@pytest.mark.parametrize("digest", ["", "ä", "x" * 129])
def test_a_state_is_short_ascii(digest: str) -> None:
    with pytest.raises(BadFrame):
        frames.encode_digest(FrameKind.NOTICE, digest)


def test_a_state_has_no_control_characters() -> None:
    with pytest.raises(BadFrame):
        frames.digest_of(decode(encode(FrameKind.NOTICE, 0, b"a\nb")))
