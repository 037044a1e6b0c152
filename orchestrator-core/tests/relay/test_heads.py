"""JSON payloads: what they take, and that nothing in them can become another header or request."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_relay.errors import BadFrame
from orchestrator_relay.heads import Goodbye, Hello, RequestHead, ResponseHead, Status, Welcome


@pytest.mark.parametrize(
    "head",
    [
        RequestHead(method="GET", target="/runs/1?from=3", headers=(("Range", "bytes=0-"),), address="::1"),
        ResponseHead(status=206, headers=(("X-Name", "caf\xe9"), ("Set-Cookie", "a"), ("Set-Cookie", "b"))),
        Hello(name="my desktop", replica="abc", version="1", max_streams=12),
        Welcome(role="extra", silence_s=9),
        Status(queue=3, ready=True),
        Goodbye(code="revoked", message="Ünmöglich"),
    ],
)
def test_packs_and_unpacks(head: RequestHead) -> None:
    assert type(head).unpack(head.pack()) == head


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "get"},
        {"method": "GET /x HTTP/1.1\r\n"},
        {"target": "http://elsewhere/"},
        {"target": "/a b"},
        {"target": "/\r\nX: y"},
        {"target": "/" + "a" * 20_000},
        {"headers": [["X-A", "a\r\nX-B: b"]]},
        {"headers": [["X-A", "a\x00"]]},
        {"headers": [["X A", "a"]]},
        {"headers": [["", "a"]]},
        {"headers": [["X", "\u20ac"]]},
        {"headers": [["X"]]},
        {"headers": [["X", "y"]] * 201},
        {"body": -1},
        {"body": 2**40},
        {"address": "evil\nline"},
    ],
)
def test_refuses_what_is_no_request(changed: dict[str, object]) -> None:
    import json

    good = {"method": "GET", "target": "/"}
    RequestHead.unpack(json.dumps(good).encode())
    with pytest.raises(BadFrame, match=next(iter(changed))):
        RequestHead.unpack(json.dumps({**good, **changed}).encode())


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 60_000, b'{"status":"' + b"1" * 5000]
)
def test_what_is_no_json_object_is_a_bad_frame(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        ResponseHead.unpack(payload)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_head_or_a_bad_frame(payload: bytes) -> None:
    with contextlib.suppress(BadFrame):
        Status.unpack(payload)


def test_unknown_fields_are_left_alone() -> None:
    assert Status.unpack(b'{"queue": 1, "weather": "fine"}') == Status(queue=1)


def test_a_message_names_no_value() -> None:
    with pytest.raises(BadFrame) as caught:
        RequestHead.unpack(b'{"method": "SECRET VALUE", "target": "/"}')
    assert "SECRET" not in str(caught.value)
