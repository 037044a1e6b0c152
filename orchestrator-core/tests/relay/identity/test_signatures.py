from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_relay.errors import ClockOff, RequestReplayed, SignatureRejected
from orchestrator_relay.identity.event_chain import EventChain
from orchestrator_relay.identity.machine import Identity, PublicIdentity
from orchestrator_relay.identity.nonces import MAX_AGE_S, MAX_AHEAD_S, NonceStore
from orchestrator_relay.identity.signatures import sign_answer, sign_request, verify_answer, verify_request

NOW = 1_800_000_000
PHONE, SERVER, STRANGER = Identity.create(), Identity.create(), Identity.create()
HOUSEHOLD = SERVER.id
REQUEST: dict[str, Any] = {
    "method": "POST",
    "url": "/chat?tier=desktop",
    "headers": {"Content-Type": "application/json"},
    "body": b'{"message": "hello"}',
}


def signed(
    identity: Identity = PHONE, household: str = HOUSEHOLD, now: float = NOW, **changes: Any
) -> dict[str, Any]:
    request = REQUEST | changes
    added = sign_request(identity, household, now=now, **request)
    return request | {"headers": {**request["headers"], **added}}


def known(key_id: str) -> PublicIdentity | None:
    return PHONE.public if key_id == PHONE.id else None


def verify(request: dict[str, Any], nonces: NonceStore | None = None, now: float = NOW) -> str:
    return verify_request(
        HOUSEHOLD, known, NonceStore(started=NOW - 1000) if nonces is None else nonces, now=now, **request
    )


def test_a_signed_request_says_who_sent_it_wherever_it_was_sent() -> None:
    request = signed(url="http://192.168.1.2:5000/chat?tier=desktop")
    assert verify({**request, "url": "https://vps.example/chat?tier=desktop"}) == PHONE.id


@pytest.mark.parametrize("body", [b"", b"\0" * 100_000])
def test_any_body_is_covered_also_an_empty_one(body: bytes) -> None:
    request = signed(body=body)
    assert verify(request) == PHONE.id
    with pytest.raises(SignatureRejected):
        verify({**request, "body": body + b"x"})


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"url": "/chat"},
        {"url": "/chat?tier=vps"},
        {"url": "/chat/stream?tier=desktop"},
        {"url": "/%63hat?tier=desktop"},
        {"body": b""},
        {"body": b'{"message": "hellp"}'},
    ],
    ids=str,
)
def test_what_was_altered_is_refused(change: dict[str, Any]) -> None:
    request = signed()
    with pytest.raises(SignatureRejected):
        verify({**request, **change})


@pytest.mark.parametrize("name", ["If-Match", "if-none-match", "Last-Event-ID", "range", "content-type"])
def test_a_header_that_changes_the_request_cannot_be_altered_added_or_removed(name: str) -> None:
    request = signed(headers={name: "one"})
    assert verify(request) == PHONE.id
    for headers in (
        {**request["headers"], name: "two"},
        {key: value for key, value in request["headers"].items() if key != name},
        {**signed(headers={})["headers"], name: "added"},
    ):
        with pytest.raises(SignatureRejected):
            verify({**request, "headers": headers})


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest"])
@given(data=st.data())
def test_no_alteration_of_the_signature_passes(name: str, data: st.DataObject) -> None:
    request = signed()
    value = request["headers"][name]
    at = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.sampled_from(["", "x", "\xff", '"', "=", "1", ";", "\n"]))
    headers = {**request["headers"], name: value[:at] + other + value[at + 1 :]}
    try:
        passed = verify({**request, "headers": headers})
    except SignatureRejected:
        return
    # What means the same (the last bits of base64, for example) was not altered.
    assert passed == PHONE.id


@given(
    st.dictionaries(st.sampled_from(["Signature", "Signature-Input", "Content-Digest"]), st.text(max_size=80))
)
def test_whatever_strangers_send_is_refused_in_our_words(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureRejected):
        verify({**REQUEST, "headers": headers})


def test_what_is_no_url_is_refused_in_our_words() -> None:
    with pytest.raises(SignatureRejected):
        verify(signed() | {"url": "http://[/chat"})


def test_a_foreign_key_another_household_and_a_stolen_name_are_refused() -> None:
    with pytest.raises(SignatureRejected) as unknown:
        verify(signed(STRANGER))
    assert unknown.value.code == "unknown_key"
    with pytest.raises(SignatureRejected) as elsewhere:
        verify(signed(household=STRANGER.id))
    assert elsewhere.value.code == "wrong_household"
    forged = signed(STRANGER)
    headers = {name: value.replace(STRANGER.id, PHONE.id) for name, value in forged["headers"].items()}
    with pytest.raises(SignatureRejected):
        verify({**forged, "headers": headers})


def test_a_key_id_that_leads_to_another_key_is_refused() -> None:
    with pytest.raises(SignatureRejected):
        verify_request(HOUSEHOLD, lambda _: PHONE.public, NonceStore(started=0), now=NOW, **signed(STRANGER))


def test_nothing_is_taken_twice() -> None:
    nonces, request = NonceStore(started=NOW - 1000), signed()
    assert verify(request, nonces) == PHONE.id
    with pytest.raises(RequestReplayed) as raised:
        verify(request, nonces, NOW + MAX_AGE_S)
    assert raised.value.server_time == NOW + MAX_AGE_S


@pytest.mark.parametrize("off", [-MAX_AGE_S - 1, MAX_AHEAD_S + 1, -(10**8), 10**9])
def test_a_clock_that_is_off_is_told_the_time_and_can_try_again(off: int) -> None:
    nonces = NonceStore(started=NOW - 1000)
    with pytest.raises(ClockOff) as raised:
        verify(signed(now=NOW + off), nonces)
    assert verify(signed(now=raised.value.server_time), nonces) == PHONE.id


def test_what_was_signed_before_the_start_is_refused_because_it_may_have_been_taken() -> None:
    with pytest.raises(RequestReplayed):
        verify(signed(now=NOW - 5), NonceStore(started=NOW - 3))


def test_the_store_is_bounded_and_a_busy_device_closes_only_its_own_past() -> None:
    nonces = NonceStore(most=10, started=0)
    nonces.use("quiet", "nonce of quiet", NOW, NOW)
    for number in range(50):
        nonces.use("busy", f"nonce {number}", NOW + number // 5, NOW + number // 5)
    assert len(nonces) == 10
    with pytest.raises(RequestReplayed):
        nonces.use("busy", "nonce 0", NOW, NOW + 10)
    with pytest.raises(RequestReplayed):
        nonces.use("quiet", "nonce of quiet", NOW, NOW + 10)
    nonces.use("quiet", "another", NOW + 1, NOW + 10)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(-MAX_AGE_S, MAX_AHEAD_S))))
def test_no_history_lets_a_request_in_twice(history: list[tuple[int, int, int]]) -> None:
    nonces, taken, now = NonceStore(most=5, started=0), set(), NOW
    for step, (key, nonce, offset) in enumerate(history):
        now = NOW + 7 * step
        request = (f"key{key}", f"nonce{nonce}")
        try:
            nonces.use(*request, now + offset, now)
        except RequestReplayed:
            continue
        assert (request, now + offset) not in taken
        taken.add((request, now + offset))


ANSWER: dict[str, Any] = {
    "status": 200,
    "headers": {"Content-Type": "application/json"},
    "body": b'{"response": "hi"}',
}


def test_an_answer_is_of_this_server_to_this_request() -> None:
    request, other = signed()["headers"], signed()["headers"]
    added = sign_answer(SERVER, HOUSEHOLD, request, **ANSWER)
    answer = {**ANSWER, "headers": {**ANSWER["headers"], **added}}
    verify_answer(SERVER.public, HOUSEHOLD, request, **answer)
    changes: list[dict[str, Any]] = [
        {"status": 401},
        {"body": b'{"response": "ho"}'},
        {"headers": {**answer["headers"], "Content-Type": "text/html"}},
        {"headers": ANSWER["headers"]},
    ]
    for change in changes:
        with pytest.raises(SignatureRejected):
            verify_answer(SERVER.public, HOUSEHOLD, request, **{**answer, **change})
    with pytest.raises(SignatureRejected):
        verify_answer(SERVER.public, HOUSEHOLD, other, **answer)
    with pytest.raises(SignatureRejected):
        verify_answer(STRANGER.public, HOUSEHOLD, request, **answer)


Events = list[tuple[str, str, str]]
EVENTS: Events = [("1", "", '{"token": "a"}'), ("2", "seam", "{}"), ("3", "", '{"token": "b"}\nx')]


def chain(events: Events, request: dict[str, str]) -> EventChain:
    made = EventChain(HOUSEHOLD, request)
    for id, event, data in events:
        made.add(data, event=event, id=id)
    return made


@pytest.mark.parametrize(
    "alter",
    [
        lambda events: events[:-1],
        lambda events: events[1:],
        lambda events: events[::-1],
        lambda events: [*events, events[0]],
        lambda events: [("1", "", '{"token": "c"}'), *events[1:]],
        lambda events: [("", "1", '{"token": "a"}'), *events[1:]],
        lambda events: [],
    ],
)
def test_a_stream_that_was_cut_reordered_or_altered_is_noticed(alter: Callable[[Events], Events]) -> None:
    request = signed()["headers"]
    last = chain(EVENTS, request).sign(SERVER)
    chain(EVENTS, request).verify(SERVER.public, last)
    with pytest.raises(SignatureRejected):
        chain(alter(EVENTS), request).verify(SERVER.public, last)
    with pytest.raises(SignatureRejected):
        chain(EVENTS, signed()["headers"]).verify(SERVER.public, last)
    with pytest.raises(SignatureRejected):
        chain(EVENTS, request).verify(STRANGER.public, last)


@given(st.text(max_size=120))
def test_no_other_last_event_passes(data: str) -> None:
    with pytest.raises(SignatureRejected):
        chain(EVENTS, {"Signature": "x"}).verify(SERVER.public, f"{SERVER.id} 3 {data}")
