from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_relay.errors import SealBroken
from orchestrator_relay.identity.machine import Identity, PublicIdentity
from orchestrator_relay.identity.sealing import (
    MAX_CHUNK_BYTES,
    AnswerOpener,
    AnswerSealer,
    OpenedRequest,
    open_request,
    seal_request,
)

SERVER, OTHER = Identity.create(), Identity.create()
HEADERS = (("Content-Type", "application/json"), ("X-Name", "caf\xe9"))


def exchange() -> tuple[OpenedRequest, AnswerSealer, AnswerOpener]:
    sealed, opener = seal_request(SERVER.public, "POST", "/chat?x=1", HEADERS, b"a secret message")
    opened, sealer = open_request(SERVER, sealed)
    return opened, sealer, opener


def test_a_request_arrives_whole_and_nothing_of_it_is_readable() -> None:
    sealed, _ = seal_request(SERVER.public, "POST", "/chat?x=1", HEADERS, b"a secret message")
    opened, _ = open_request(SERVER, sealed)
    assert opened == OpenedRequest("POST", "/chat?x=1", HEADERS, b"a secret message")
    for word in (b"secret", b"chat", b"POST", b"json"):
        assert word not in sealed
    assert "secret message" not in repr(opened)


@given(st.binary(max_size=300_000), st.lists(st.integers(1, 100_000), max_size=5))
def test_an_answer_arrives_as_it_was_sent_however_it_is_cut_on_the_way(body: bytes, cuts: list[int]) -> None:
    _, sealer, opener = exchange()
    wire = sealer.head(200, HEADERS) + sealer.part(body) + sealer.end()
    read, at = b"", 0
    for cut in (*cuts, len(wire)):
        read += opener.feed(wire[at : at + cut])
        at += cut
    opener.finish()
    assert opener.head is not None
    assert (opener.head.status, opener.head.headers, read) == (200, HEADERS, body)


def test_each_part_of_a_stream_can_be_read_as_soon_as_it_is_there() -> None:
    _, sealer, opener = exchange()
    assert opener.feed(sealer.head(200, ())) == b""
    assert opener.head is not None
    for event in (b"data: one\n\n", b"", b"data: two\n\n"):
        assert opener.feed(sealer.part(event)) == event
    assert opener.feed(sealer.end()) == b""
    opener.finish()


def test_an_answer_of_any_length_is_opened_a_byte_at_a_time() -> None:
    _, sealer, opener = exchange()
    body = bytes(range(256)) * 80
    wire = sealer.head(404, ()) + sealer.part(body) + sealer.end()
    assert b"".join(opener.feed(wire[at : at + 1]) for at in range(len(wire))) == body
    opener.finish()


@given(st.data())
def test_an_answer_that_was_cut_off_anywhere_is_noticed(data: st.DataObject) -> None:
    _, sealer, opener = exchange()
    wire = sealer.head(200, HEADERS) + sealer.part(b"x" * 100) + sealer.part(b"y") + sealer.end()
    cut = data.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(SealBroken):
        opener.feed(wire[:cut])
        opener.finish()


@given(st.data())
def test_no_altered_byte_of_an_answer_passes(data: st.DataObject) -> None:
    _, sealer, opener = exchange()
    wire = bytearray(sealer.head(200, HEADERS) + sealer.part(b"x" * 100) + sealer.end())
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealBroken):
        opener.feed(bytes(wire))
        opener.finish()


def test_reordered_repeated_dropped_and_appended_parts_are_noticed() -> None:
    def parts() -> tuple[list[bytes], AnswerOpener]:
        _, sealer, opener = exchange()
        return [sealer.head(200, ()), sealer.part(b"one"), sealer.part(b"two"), sealer.end()], opener

    for order in (
        [0, 2, 1, 3],
        [0, 1, 1, 2, 3],
        [0, 2, 3],
        [0, 1, 3],
        [0, 1, 2, 3, 3],
        [0, 1, 2, 3, 1],
        [0, 1, 2],
    ):
        sent, opener = parts()
        with pytest.raises(SealBroken):
            opener.feed(b"".join(sent[part] for part in order))
            opener.finish()


def test_the_answer_to_another_request_does_not_open() -> None:
    _, sealer, _ = exchange()
    _, _, opener = exchange()
    with pytest.raises(SealBroken):
        opener.feed(sealer.head(200, ()))


def test_two_answers_to_one_request_share_no_keystream() -> None:
    sealed, _ = seal_request(SERVER.public, "GET", "/health")
    one, other = (open_request(SERVER, sealed)[1].head(200, ())[32:] for _ in range(2))
    assert one != other


@given(st.data())
def test_no_altered_request_opens(data: st.DataObject) -> None:
    sealed, _ = seal_request(SERVER.public, "POST", "/chat", HEADERS, b"body")
    altered = bytearray(sealed)
    altered[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    for wrong in (bytes(altered), sealed[: data.draw(st.integers(0, len(sealed) - 1))], sealed + b"x"):
        with pytest.raises(SealBroken):
            open_request(SERVER, wrong)


@given(st.binary(max_size=200))
def test_whatever_strangers_send_is_no_sealed_request(content: bytes) -> None:
    with pytest.raises(SealBroken):
        open_request(SERVER, content)


def test_only_the_server_it_was_sealed_to_can_open_it() -> None:
    sealed, _ = seal_request(SERVER.public, "GET", "/chat")
    with pytest.raises(SealBroken):
        open_request(OTHER, sealed)
    # The seal names the server: the right sealing key under another name does not do.
    named, _ = seal_request(PublicIdentity(OTHER.public.signing, SERVER.public.sealing), "GET", "/chat")
    with pytest.raises(SealBroken):
        open_request(SERVER, named)


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("get", "/", ()),
        ("GET", "chat", ()),
        ("GET", "/a b", ()),
        ("GET", "/", (("X", "a\r\nb"),)),
        ("GET", "/", (("", "a"),)),
    ],
)
def test_what_is_no_request_is_not_sealed(
    method: str, target: str, headers: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(SealBroken):
        seal_request(SERVER.public, method, target, headers)


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(SealBroken):
        seal_request(PublicIdentity(SERVER.public.signing, b"\0" * 32), "GET", "/")


def test_long_parts_are_split() -> None:
    _, sealer, opener = exchange()
    opener.feed(sealer.head(200, ()))
    wire = sealer.part(b"x" * (MAX_CHUNK_BYTES + 1))
    assert len(opener.feed(wire[: MAX_CHUNK_BYTES + 21])) == MAX_CHUNK_BYTES
