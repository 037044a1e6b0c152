"""Signed and sealed requests, through the app: who is let in, what is signed back, what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_core.event_stream import events_in
from orchestrator_http.access import signed_answers
from orchestrator_relay.errors import SignatureRejected
from orchestrator_relay.identity.event_chain import EventChain
from orchestrator_relay.identity.machine import Identity, PublicIdentity
from orchestrator_relay.identity.sealing import MEDIA_TYPE, seal_request
from orchestrator_relay.identity.signatures import sign_request, verify_answer
from orchestrator_relay.wsgi_call import RELAYED
from support.desktop import Desk, desk
from support.vps_app import vps_app

KEY = "a key that nobody can guess"
LAN = {"REMOTE_ADDR": "192.168.1.77"}


@dataclass
class Phone:
    """Signs what it asks, and checks what it is told."""

    desk: Any
    server: PublicIdentity
    household: str
    identity: Identity = field(default_factory=Identity.create)

    def pair(self, here: Any = None, scopes: tuple[str, ...] = ("ask", "memory")) -> Phone:
        devices = (here or self.desk).services.household.devices
        devices.add(
            self.identity.id, name="Pixel", kind="phone", public=self.identity.public.text(), scopes=scopes
        )
        return self

    def headers(self, method: str, target: str, body: bytes = b"", **signing: Any) -> dict[str, str]:
        headers = {"Content-Type": "application/json"} if body else {}
        return headers | sign_request(self.identity, self.household, method, target, headers, body, **signing)

    def ask(self, method: str, target: str, body: bytes = b"", *, environ: Any = None, **signing: Any) -> Any:
        headers = self.headers(method, target, body, **signing)
        answer = self.desk.client.open(
            target, method=method, data=body, headers=headers, environ_overrides=environ or LAN
        )
        if "Signature" in answer.headers:
            self.verify(headers, answer)
        return answer

    def verify(self, asked: dict[str, str], answer: Any) -> None:
        is_stream = answer.mimetype == "text/event-stream"
        body = None if is_stream else answer.get_data()
        verify_answer(self.server, self.household, asked, answer.status_code, dict(answer.headers), body)
        if is_stream:
            chain = EventChain(self.household, asked)
            events = list(events_in([answer.get_data()]))
            for event in events[:-1]:
                name = "" if event.name == "message" else event.name
                chain.add(event.data, event=name, id=event.event_id)
            assert events[-1].name == "signature"
            chain.verify(self.server, events[-1].data)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path, host="0.0.0.0", api_key=KEY, allowed_hosts=["localhost"]) as found:
        yield found


@pytest.fixture
def phone(here: Desk) -> Phone:
    household = here.services.household
    return Phone(here, household.identity.public, household.identity.id).pair()


CHAT = b'{"message": "Hello, how was the trip?"}'


def test_a_paired_phone_asks_without_a_key_and_knows_that_its_desktop_answered(
    here: Desk, phone: Phone
) -> None:
    answer = phone.ask("POST", "/chat", CHAT)
    assert answer.status_code == 200 and "Signature" in answer.headers
    assert phone.ask("GET", "/conversation?conversation_id=default").json["turn_count"] == 1
    seen = here.services.household.devices.get(phone.identity.id)
    assert seen.last_seen_by == "lan"


def test_a_stream_is_signed_at_its_end(phone: Phone) -> None:
    answer = phone.ask("POST", "/chat/stream", CHAT)
    assert answer.status_code == 200
    events = list(events_in([answer.get_data()]))
    assert [event.name for event in events][-1] == "signature"
    assert '"done":true' in events[-2].data


def test_refusals_of_a_route_are_signed_too(phone: Phone) -> None:
    answer = phone.ask("GET", "/context/NO_SUCH.md")
    assert answer.status_code == 404 and "Signature" in answer.headers
    assert phone.ask("HEAD", "/health").status_code in (200, 405)


def test_a_probe_of_what_is_open_proves_the_server(phone: Phone) -> None:
    assert "Signature" in phone.ask("GET", "/health").headers


def test_without_pairing_nobody_is_let_in_and_nothing_is_signed(here: Desk, phone: Phone) -> None:
    stranger = Phone(here, phone.server, phone.household)
    answer = stranger.ask("POST", "/chat", CHAT)
    assert (answer.status_code, answer.json["error"]["code"]) == (401, "unknown_key")
    assert "Signature" not in answer.headers
    assert stranger.ask("GET", "/health").status_code == 401


def test_altered_replayed_and_foreign_requests_are_refused(here: Desk, phone: Phone) -> None:
    headers = phone.headers("POST", "/chat", CHAT)

    def send(body: bytes = CHAT, path: str = "/chat", method: str = "POST") -> tuple[int, str]:
        answer = here.client.open(path, method=method, data=body, headers=headers, environ_overrides=LAN)
        return answer.status_code, (answer.json.get("error") or {}).get("code", "")

    assert send(body=CHAT + b" ") == (401, "invalid_signature")
    assert send(path="/chat?x=1") == (401, "invalid_signature")
    assert send(path="/generate") == (401, "invalid_signature")
    assert send()[0] == 200
    assert send() == (401, "request_replayed")
    elsewhere = Phone(here, phone.server, Identity.create().id, phone.identity)
    assert elsewhere.ask("POST", "/chat", CHAT).json["error"]["code"] == "wrong_household"


def test_a_clock_that_is_off_learns_the_time_from_the_signed_refusal(phone: Phone) -> None:
    answer = phone.ask("POST", "/chat", CHAT, now=time.time() - 86_400)
    assert (answer.status_code, answer.json["error"]["code"]) == (401, "clock_off")
    assert "Signature" in answer.headers
    told = answer.json["error"]["server_time"]
    assert phone.ask("POST", "/chat", CHAT, now=told).status_code == 200


def test_a_revoked_phone_is_refused_at_once_and_told_so(here: Desk, phone: Phone) -> None:
    assert phone.ask("GET", "/conversations").status_code == 200
    here.services.household.devices.revoke(phone.identity.id)
    answer = phone.ask("GET", "/conversations")
    assert (answer.status_code, answer.json["error"]["code"]) == (401, "device_revoked")
    assert "Signature" in answer.headers


def test_a_stream_of_a_phone_that_is_revoked_breaks_off(
    here: Desk, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_answers, "LOOK_S", 0.0)
    headers = phone.headers("GET", "/sync/events")
    answer = here.client.get("/sync/events", headers=headers, environ_overrides=LAN, buffered=False)
    parts = answer.iter_encoded()
    assert next(parts)
    here.services.household.devices.revoke(phone.identity.id)
    with pytest.raises(BrokenPipeError):
        for part in parts:
            assert b"event: signature" not in part
    answer.close()


def test_scopes_bound_what_a_device_may_do(here: Desk, phone: Phone) -> None:
    asker = Phone(here, phone.server, phone.household).pair(scopes=("ask",))
    assert asker.ask("POST", "/chat", CHAT).status_code == 200
    refused = asker.ask("GET", "/conversations")
    assert (refused.status_code, refused.json["error"]["code"]) == (403, "beyond_scope")


def test_wrong_signatures_of_others_never_stand_in_the_way_of_a_right_one(here: Desk, phone: Phone) -> None:
    stranger = Phone(here, phone.server, phone.household)
    statuses = {stranger.ask("GET", "/conversations").status_code for _ in range(30)}
    assert statuses == {401, 429}
    assert phone.ask("GET", "/conversations").status_code == 200


def test_what_the_vps_passes_on_is_a_phones_only_with_the_phones_signature(here: Desk, phone: Phone) -> None:
    relayed = {RELAYED: True}
    assert phone.ask("GET", "/conversations", environ=relayed).status_code == 200
    headers = phone.headers("POST", "/chat", CHAT)
    forged = here.client.post("/chat", data=CHAT + b" ", headers=headers, environ_overrides=relayed)
    assert forged.status_code == 401
    named = here.client.get(
        "/conversations", headers={"Authorization": "Bearer wrong"}, environ_overrides=relayed
    )
    assert named.status_code == 200, "in its own name the VPS may ask"


def test_a_large_answer_is_signed_whole(here: Desk, phone: Phone) -> None:
    text = "long " * 60_000
    body = ('{"text": "' + text + '"}').encode()
    assert phone.ask("POST", "/context/SESSION_LOG.md/entries", body).status_code in (200, 201)
    assert len(phone.ask("GET", "/context/SESSION_LOG.md").get_data()) > 200_000
    assert phone.ask("GET", "/conversations/export").status_code in (200, 404)


def test_a_signed_body_may_be_as_large_as_its_route_takes_and_no_larger(phone: Phone) -> None:
    assert phone.ask("POST", "/chat", b'{"message": "' + b"x" * (3 * 1024 * 1024) + b'"}').status_code == 413


# Sealed


def seal(
    here: Any, server: PublicIdentity, method: str, target: str, headers: Any = (), body: bytes = b""
) -> Any:
    """The answer to the outer request, and the opened one inside."""
    sealed, opener = seal_request(server, method, target, headers, body)
    answer = here.client.post("/sealed", data=sealed, content_type=MEDIA_TYPE, environ_overrides=LAN)
    if answer.mimetype != MEDIA_TYPE:
        return answer, None, b""
    read = opener.feed(answer.get_data())
    opener.finish()
    return answer, opener.head, read


def test_nothing_of_a_sealed_question_and_its_answer_can_be_read(here: Desk, phone: Phone) -> None:
    headers = phone.headers("POST", "/chat", CHAT)
    sealed, opener = seal_request(phone.server, "POST", "/chat", headers.items(), CHAT)
    answer = here.client.post("/sealed", data=sealed, environ_overrides=LAN)
    wire = sealed + answer.get_data() + str(answer.headers).encode()
    for word in (b"Hello", b"trip", b"/chat", b"message", phone.identity.id.encode()):
        assert word not in wire
    body = opener.feed(answer.get_data())
    opener.finish()
    assert opener.head is not None and opener.head.status == 200
    verify_answer(phone.server, phone.household, headers, 200, dict(opener.head.headers), body)
    assert b"Hello" in body
    assert here.services.household.devices.get(phone.identity.id).last_seen_by == "sealed"


def test_a_sealed_stream_arrives_event_by_event(here: Desk, phone: Phone) -> None:
    headers = phone.headers("POST", "/chat/stream", CHAT)
    _, head, body = seal(here, phone.server, "POST", "/chat/stream", headers.items(), CHAT)
    assert head.status == 200
    assert [event.name for event in events_in([body])][-1] == "signature"


def test_a_sealed_request_is_let_in_by_nothing_but_its_own_signature_or_key(here: Desk, phone: Phone) -> None:
    assert seal(here, phone.server, "GET", "/conversations")[1].status == 401
    key = (("Authorization", f"Bearer {KEY}"),)
    assert seal(here, phone.server, "GET", "/conversations", key)[1].status == 200
    around = seal_request(phone.server, "GET", "/conversations")[0]
    answer = here.client.post("/sealed", data=around, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200 and KEY.encode() not in answer.get_data()


def test_what_is_inside_cannot_pass_itself_off_as_something_else(here: Desk, phone: Phone) -> None:
    for headers in (
        (("X-Forwarded-For", "127.0.0.1"),),
        (("Host", "evil.example"),),
        (("Content-Length", "9999999"),),
        (("Transfer-Encoding", "chunked"),),
        (("orchestrator.relayed", "True"),),
        (("wsgi_url_scheme", "https"),),
    ):
        assert seal(here, phone.server, "GET", "/conversations", headers)[1].status == 401
    assert seal(here, phone.server, "POST", "/sealed", (), b"x")[0].status_code == 400
    sealed, _ = seal_request(phone.server, "GET", "/health")
    foreign = here.client.post("/sealed", data=sealed, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403


@pytest.mark.parametrize("path", ["/sealed", "/sealed/", "/%73ealed", "/sealed?x=1"])
def test_no_seal_holds_another_however_its_path_is_written(here: Desk, phone: Phone, path: str) -> None:
    """A thousand within each other would be a thousand calls within each other."""
    inner, _ = seal_request(phone.server, "GET", "/health")
    answer, head, _ = seal(here, phone.server, "POST", path, (), inner)
    assert answer.status_code == 400 and head is None


def test_what_cannot_be_opened_is_a_clear_400(here: Desk) -> None:
    other = Identity.create().public
    answer, head, _ = seal(here, other, "GET", "/health")
    assert head is None
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "seal_broken")


@settings(max_examples=60, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "X"]),
    path=st.text(alphabet="/chatsel%20.?=&0", max_size=30),
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "Signature",
                    "Signature-Input",
                    "Content-Digest",
                    "Content-Type",
                    "If-Match",
                    "Range",
                    "X-Tier",
                ]
            ),
            st.text(alphabet=st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60),
        ),
        max_size=4,
    ),
    body=st.binary(max_size=200),
)
def test_no_sealed_nonsense_is_a_500(
    tmp_path_factory: pytest.TempPathFactory, method: str, path: str, headers: Any, body: bytes
) -> None:
    here = _fuzzed(tmp_path_factory)
    answer, head, _ = seal(here, here.services.household.identity.public, method, f"/{path}", headers, body)
    assert answer.status_code < 500
    assert head is None or head.status < 500


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=300), kind=st.sampled_from(["", MEDIA_TYPE, "application/json", "text/html"]))
def test_no_nonsense_at_the_door_is_a_500(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, kind: str
) -> None:
    answer = _fuzzed(tmp_path_factory).client.post("/sealed", data=body, headers={"Content-Type": kind})
    assert answer.status_code == 400


_OPEN: list[Any] = []


def _fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One app for all examples."""
    if not _OPEN:
        manager = desk(tmp_path_factory.mktemp("fuzzed"), api_key=KEY)
        _OPEN.extend([manager.__enter__(), manager])
    found: Desk = _OPEN[0]
    return found


@pytest.fixture(scope="module", autouse=True)
def _close_fuzzed() -> Iterator[None]:
    yield
    if _OPEN:
        _OPEN[1].__exit__(None, None, None)
        _OPEN.clear()


# The VPS


def test_the_vps_verifies_by_itself_once_it_knows_the_household(
    here: Desk, phone: Phone, tmp_path: Path
) -> None:
    with vps_app(tmp_path / "vps") as vps:
        away = Phone(vps, vps.services.household.identity.public, phone.household, phone.identity)
        assert away.ask("GET", "/conversations").json["error"]["code"] == "no_household"
        vps.services.household.join(phone.server)
        assert away.ask("GET", "/conversations").json["error"]["code"] == "unknown_key"
        _exchange(vps, here)
        answer = away.ask("GET", "/conversations")
        assert answer.status_code == 200 and "Signature" in answer.headers
        vps.services.household.devices.revoke(phone.identity.id)
        assert away.ask("GET", "/conversations").json["error"]["code"] == "device_revoked"
        _exchange(here, vps)
        assert phone.ask("GET", "/conversations").json["error"]["code"] == "device_revoked"


def test_a_vps_believes_the_grants_of_the_household_that_it_has_now(
    here: Desk, phone: Phone, tmp_path: Path
) -> None:
    with vps_app(tmp_path / "vps") as vps:
        household = vps.services.household
        _exchange(vps, here)
        assert household.devices.list() == [], "nobody has vouched for it yet"
        household.join(phone.server)
        away = Phone(vps, household.identity.public, phone.household, phone.identity)
        assert away.ask("GET", "/conversations").status_code == 200
        other = Identity.create().public
        household.join(other)
        stranger = Phone(vps, household.identity.public, other.id, phone.identity)
        assert stranger.ask("GET", "/conversations").json["error"]["code"] == "unknown_key"


def test_no_tier_but_the_desktop_can_let_a_device_in(here: Desk, phone: Phone, tmp_path: Path) -> None:
    with vps_app(tmp_path / "vps") as vps:
        vps.services.household.join(phone.server)
        household = vps.services.household
        household.devices._sign = household.identity.sign
        intruder = Phone(here, phone.server, phone.household).pair(vps)
        _exchange(here, vps)
        assert intruder.ask("GET", "/conversations").json["error"]["code"] == "unknown_key"


def test_a_phone_brings_no_device_and_takes_none_out(here: Desk, phone: Phone) -> None:
    stamp = "2026-01-02T03:04:05.000000Z-0000-phone"
    record = {
        "kind": "device",
        "sequence": 1,
        "device_id": phone.identity.id,
        "field": "revoked",
        "value": "now",
    }
    span = {"origin": "phone", "replica": "phone", "number": 0, "after": 0, "upto": 1}
    body = {
        "protocol": 1,
        "replica": "phone",
        "have": {},
        "spans": [{**span, "records": [{**record, "stamp": stamp}]}],
    }
    assert phone.ask("POST", "/sync", json.dumps(body).encode()).status_code == 200
    assert here.services.household.devices.get(phone.identity.id).revoked_at is None


def test_a_phone_may_revoke_itself_and_nobody_else(here: Desk, phone: Phone) -> None:
    other = Phone(here, phone.server, phone.household).pair()
    refused = phone.ask("DELETE", f"/devices/{other.identity.id}")
    assert (refused.status_code, refused.json["error"]["code"]) == (403, "beyond_scope")
    assert phone.ask("DELETE", f"/devices/{phone.identity.id}").status_code == 200
    assert phone.ask("GET", "/devices").json["error"]["code"] == "device_revoked"
    assert other.ask("GET", "/devices").status_code == 200


def _exchange(to: Any, source: Any) -> None:
    from shared_context.exchange.wire import Span

    page = source.services.replica.log.since(to.services.replica.log.vector(), max_records=1000)
    to.services.replica.log.receive([Span.model_validate(span) for span in page.spans])


def test_an_answer_cannot_be_taken_for_one_to_another_request(here: Desk, phone: Phone) -> None:
    one, other = phone.headers("GET", "/health"), phone.headers("GET", "/health")
    answer = here.client.get("/health", headers=one, environ_overrides=LAN)
    phone.verify(one, answer)
    with pytest.raises(SignatureRejected):
        phone.verify(other, answer)
