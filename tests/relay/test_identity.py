"""A paired phone, with processes, nginx and sockets: known on both tiers, believed behind the relay, gone everywhere once revoked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from mobile_sync.signed_http import Signer, session_for
from orchestrator_core.event_stream import events_in
from orchestrator_http.access.household import Household
from orchestrator_relay.identity.event_chain import EventChain
from orchestrator_relay.identity.machine import Identity, PublicIdentity
from orchestrator_relay.identity.sealing import MEDIA_TYPE, seal_request
from orchestrator_relay.identity.signatures import sign_request, verify_answer
from shared_context.conversations.store import ConversationStore
from support.fleet import Fleet, wait_until

pytestmark = pytest.mark.slow


@dataclass
class Home:
    fleet: Fleet
    phone: Identity
    desktop: PublicIdentity
    vps: PublicIdentity

    def session(self, server: PublicIdentity | None, identity: Identity | None = None) -> requests.Session:
        nginx = self.fleet.nginx
        assert nginx is not None
        signer = Signer(identity or self.phone, self.desktop.id, server)
        return session_for(signer, Path(nginx.certificate).read_text())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("home")
    data, phone = folder / "desktop" / "data", Identity.create()
    data.mkdir(parents=True, mode=0o700)
    with ConversationStore.open(data / "memory.db") as store:
        household = Household(data, store, "desktop")
        household.devices.add(phone.id, name="Pixel", kind="phone", public=phone.public.text())
    with Fleet(folder, behind_nginx=True) as fleet:
        fleet.connect()
        listed = requests.get(f"{fleet.desktop_url}/devices", timeout=10).json()["devices"]
        (vps,) = [device["public"] for device in listed if device["kind"] == "vps"]
        yield Home(fleet, phone, household.identity.public, PublicIdentity.parse(vps))


def code_of(answer: requests.Response) -> tuple[int, Any]:
    return answer.status_code, (answer.json().get("error") or {}).get("code")


def test_what_the_vps_passes_on_carries_the_phones_signature_to_the_desktop(home: Home) -> None:
    answer = home.session(home.vps).get(f"{home.fleet.url}/context", timeout=20)
    assert answer.status_code == 200 and answer.headers["X-Tier"] == "desktop"
    listed = requests.get(f"{home.fleet.desktop_url}/devices", timeout=10).json()["devices"]
    (seen,) = [device["last_seen_by"] for device in listed if device["id"] == home.phone.id]
    assert seen == "relay"


def test_a_question_by_way_of_the_vps_is_answered_and_signed_to_the_end(home: Home) -> None:
    answer = home.session(home.vps).post(
        f"{home.fleet.url}/chat/stream", json={"message": "Hello ä"}, timeout=20, stream=True
    )
    events = [event for event in events_in(answer.iter_content(None)) if event.name == "message"]
    assert '"done":true' in events[-1].data


@pytest.mark.parametrize(
    "target", ["/search?q=%C3%A4%20b&limit=5", "/conversations?limit=1", "/conversations/no%2Fsuch"]
)
def test_a_path_is_verified_as_it_was_sent_whatever_is_in_it(home: Home, target: str) -> None:
    for url, server in ((home.fleet.desktop_url, home.desktop), (home.fleet.url, home.vps)):
        assert home.session(server).get(url + target, timeout=20).status_code in (200, 404), url


def test_a_sealed_stream_over_a_socket_opens_part_by_part(home: Home) -> None:
    body = b'{"message": "Whisper"}'
    headers = {"content-type": "application/json"}
    headers |= sign_request(home.phone, home.desktop.id, "POST", "/chat/stream", headers, body)
    sealed, opener = seal_request(home.desktop, "POST", "/chat/stream", headers.items(), body)
    answer = requests.post(
        f"{home.fleet.desktop_url}/sealed",
        data=sealed,
        headers={"Content-Type": MEDIA_TYPE},
        timeout=20,
        stream=True,
    )
    wire = list(answer.iter_content(None))
    assert b"Whisper" not in b"".join(wire)
    text = b"".join(opener.feed(part) for part in wire)
    opener.finish()
    assert opener.head is not None
    verify_answer(home.desktop, home.desktop.id, headers, opener.head.status, dict(opener.head.headers), None)
    *events, last = events_in([text])
    chain = EventChain(home.desktop.id, headers)
    for event in events:
        chain.add(event.data, event="" if event.name == "message" else event.name, id=event.event_id)
    chain.verify(home.desktop, last.data)


def test_a_stranger_is_refused_by_both(home: Home) -> None:
    for url in (home.fleet.desktop_url, home.fleet.url):
        answer = home.session(None, Identity.create()).get(f"{url}/conversations", timeout=20)
        assert code_of(answer) == (401, "unknown_key")


def test_a_phone_that_is_revoked_on_the_vps_is_refused_by_both_within_a_moment(home: Home) -> None:
    assert home.fleet.delete(f"/devices/{home.phone.id}").status_code == 200
    away, at_home = home.session(home.vps), home.session(home.desktop)
    assert code_of(away.get(f"{home.fleet.url}/conversations", timeout=20)) == (401, "device_revoked")

    def refused() -> bool:
        answer = at_home.get(f"{home.fleet.desktop_url}/conversations", timeout=20)
        return code_of(answer) == (401, "device_revoked")

    wait_until(refused, "the desktop should have heard of it", 10.0)


def test_a_vps_that_is_revoked_is_no_longer_served(home: Home) -> None:
    done = requests.delete(f"{home.fleet.desktop_url}/devices/{home.vps.id}", timeout=10)
    assert done.status_code == 200
    wait_until(lambda: not home.fleet.desktop_is_there(), "the desktop should have left", 10.0)
