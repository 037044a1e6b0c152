"""Pairing at a real server: what lets a device in, and what does not."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mobile_sync.errors import PairingFailed
from mobile_sync.membership import Membership
from mobile_sync.pairing import pair
from orchestrator_http.access import pending_pairing
from orchestrator_http.access.keys import FailedAttempts
from orchestrator_relay.identity.machine import Identity
from orchestrator_relay.identity.pairing import PairingLink
from support.desktop import listening
from support.pairing import KEY, Waiting, asked, body_of, has_lan, waiting

pytestmark = pytest.mark.skipif(not has_lan(), reason="this machine has no address that others could reach")


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waiting]:
    with waiting(tmp_path_factory.mktemp("desktop")) as desktop:
        yield desktop


@pytest.fixture(autouse=True)
def patient(desktop: Waiting) -> Iterator[None]:
    """Each test has tries of its own."""
    yield
    desktop.server.services.pairing_attempts = FailedAttempts()


def devices(desktop: Waiting) -> set[str]:
    return {device.id for device in desktop.server.services.household.devices.list()}


def test_a_device_joins_by_the_link_and_both_know_each_other(desktop: Waiting, tmp_path: Path) -> None:
    begun = desktop.begin()
    membership = pair(begun["link"], tmp_path, "Pixel")
    assert membership == Membership.read(tmp_path)
    assert membership.household == desktop.server.services.household.identity.public
    assert list(membership.urls) == begun["urls"] and begun["urls"]
    device = desktop.server.services.household.devices.get(Identity.load_or_create(tmp_path).id)
    assert (device.name, device.kind, device.scopes) == ("Pixel", "phone", ("ask", "memory"))
    assert desktop.state() | {"left_s": 0} == {
        "state": "paired", "wrong": 0, "left_s": 0, "device": device.id, "name": "Pixel", "kind": "phone",
    }  # fmt: skip


def test_a_device_joins_by_the_typed_code_however_it_is_spelled(desktop: Waiting, tmp_path: Path) -> None:
    begun = desktop.begin()
    membership = pair(
        begun["code"].lower().replace("-", " "), tmp_path, "Laptop", kind="laptop", urls=[desktop.server.url]
    )
    assert membership.household == desktop.server.services.household.identity.public


def test_the_same_statement_again_gets_the_same_answer_and_pairs_nothing_more(desktop: Waiting) -> None:
    statement = body_of(asked(desktop.begin()))
    first, before = desktop.post(statement), devices(desktop)
    second = desktop.post(statement)
    assert (first.status_code, second.status_code) == (201, 201)
    assert devices(desktop) == before and first.json()["statement"] == second.json()["statement"]


def test_a_code_lets_one_device_in(desktop: Waiting) -> None:
    begun = desktop.begin()
    assert desktop.post(body_of(asked(begun))).status_code == 201
    refused(desktop, body_of(asked(begun)), "used_code")
    refused(desktop, body_of(asked(begun, code=begun["code"])), "used_code")


def test_a_new_code_ends_the_one_before(desktop: Waiting) -> None:
    before = desktop.begin()
    desktop.begin()
    refused(desktop, body_of(asked(before)), "wrong_code")


def test_a_cancelled_code_is_worth_nothing(desktop: Waiting) -> None:
    begun = desktop.begin()
    assert desktop.owner("DELETE").status_code == 204
    refused(desktop, body_of(asked(begun)), "pairing_cancelled")
    assert desktop.state()["state"] == "cancelled"


def test_ten_wrong_codes_lock_it_for_the_right_one_too(desktop: Waiting) -> None:
    begun = desktop.begin()
    for number in range(pending_pairing.MAX_WRONG):
        code = "wrong_code" if number < pending_pairing.MAX_WRONG - 1 else "pairing_locked"
        refused(desktop, body_of(asked(begun, code="0000-0000-0000")), code)
    desktop.server.services.pairing_attempts = FailedAttempts()
    refused(desktop, body_of(asked(begun)), "pairing_locked")
    assert desktop.state()["state"] == "locked" and desktop.state()["wrong"] == pending_pairing.MAX_WRONG


def test_who_goes_on_guessing_is_told_to_wait(desktop: Waiting) -> None:
    statuses = []
    for _ in range(2):
        begun = desktop.begin()
        statuses += [desktop.post(body_of(asked(begun, code="0000-0000-0000"))).status_code for _ in range(8)]
    assert statuses[:8] == [403] * 8 and statuses[-1] == 429


@pytest.mark.parametrize("field", ["statement", "proof", "signature"])
def test_what_was_altered_on_the_way_is_refused(desktop: Waiting, field: str) -> None:
    before = devices(desktop)
    body = body_of(asked(desktop.begin()))
    body[field] = (
        body[field].replace("Pixel", "Thief")
        if field == "statement"
        else ("A" if body[field][0] != "A" else "B") + body[field][1:]
    )
    assert desktop.post(body).status_code in (400, 403)
    assert devices(desktop) == before


def test_a_key_that_the_device_does_not_have_is_refused(desktop: Waiting) -> None:
    """Else it could let somebody else's key in, who knows nothing of it."""
    begun, other = desktop.begin(), Identity.create()
    thief = Identity.create()
    thief.public = other.public
    response = desktop.post(body_of(asked(begun, device=thief)))
    assert response.status_code == 400 and other.id not in devices(desktop)


def test_a_statement_for_another_household_is_refused(desktop: Waiting) -> None:
    """As a host between would have it that shows its own keys for the desktop's."""
    refused(desktop, body_of(asked(desktop.begin(), household=Identity.create().public)), "wrong_code")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("", "phone"), ("x" * 65, "phone"), ("a\x1bb", "phone"), ("Pixel", ""), ("\ud800", "phone")],
)
def test_a_device_without_a_proper_name_is_refused_and_may_ask_again(
    desktop: Waiting, name: str, kind: str
) -> None:
    begun = desktop.begin()
    assert desktop.post(body_of(asked(begun, name=name, kind=kind))).status_code == 400
    assert desktop.post(body_of(asked(begun))).status_code == 201


def test_the_owner_alone_begins_watches_and_ends_a_pairing(desktop: Waiting) -> None:
    import requests

    for method in ("POST", "GET", "DELETE"):
        assert requests.request(method, f"{desktop.server.url}/pairing", timeout=10).status_code == 401


def test_no_secret_is_in_the_log_or_in_a_repr(desktop: Waiting, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    begun = desktop.begin()
    desktop.post(body_of(asked(begun, code="0000-0000-0000")))
    desktop.post(body_of(asked(begun)))
    link = PairingLink.parse(begun["link"])
    pairings = desktop.server.services.pairings
    assert pairings is not None
    shown = caplog.text + repr(link) + repr(pairings._pending) + json.dumps(desktop.state())
    assert begun["code"] not in shown and begun["link"].partition("s=")[2][:22] not in shown
    assert repr(link.secret) not in shown


def test_every_address_of_the_link_answers_and_none_is_of_the_loopback(desktop: Waiting) -> None:
    import requests

    begun = desktop.begin()
    for url in begun["urls"]:
        assert "127.0.0.1" not in url and "[::1]" not in url
        assert (
            requests.get(f"{url}/household", timeout=10).json()["id"]
            == PairingLink.parse(begun["link"]).household.id
        )


def test_a_server_on_loopback_says_how_to_change_that(tmp_path: Path) -> None:
    with listening(tmp_path, api_key=KEY) as server:
        response = Waiting(server).owner()
    assert response.status_code == 409
    error = response.json()["error"]
    assert error["code"] == "loopback_only" and "orchestrator serve --host '*'" in error["hint"]


def test_an_expired_code_is_refused(desktop: Waiting) -> None:
    begun = desktop.begin()
    pairings = desktop.server.services.pairings
    assert pairings is not None and pairings._pending is not None
    pairings._pending = replace(pairings._pending, began=pairings._pending.began - pending_pairing.VALID_S)
    refused(desktop, body_of(asked(begun)), "expired_code")
    assert desktop.state() == desktop.state() | {"state": "expired", "left_s": 0.0}


def test_an_error_names_what_went_wrong_at_the_device(desktop: Waiting, tmp_path: Path) -> None:
    begun = desktop.begin()
    with pytest.raises(PairingFailed) as caught:
        pair("0000-0000-0000", tmp_path, "Pixel", urls=["http://127.0.0.1:9", desktop.server.url])
    assert caught.value.code == "wrong_code"
    assert not (tmp_path / "household.json").exists() and begun


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.slow
@given(statement=JUNK, proof=JUNK, signature=JUNK, raw=st.none() | st.binary(max_size=300))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_no_answer_is_a_server_error(
    desktop: Waiting, statement: Any, proof: Any, signature: Any, raw: bytes | None
) -> None:
    import requests

    before = devices(desktop)
    if raw is not None:
        response = requests.post(
            f"{desktop.server.url}/pair", data=raw, headers={"Content-Type": "application/json"}, timeout=10
        )
    else:
        response = desktop.post({"statement": statement, "proof": proof, "signature": signature})
    assert 400 <= response.status_code < 500 and response.json()["error"]["code"]
    assert devices(desktop) == before


@pytest.mark.slow
@given(content=st.dictionaries(st.sampled_from(["v", "household", "device", "name", "kind", "nonce"]), JUNK))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_device_that_knows_the_code_and_talks_nonsense_is_told_so(
    desktop: Waiting, content: dict[str, Any]
) -> None:
    from orchestrator_relay.identity.pairing import PairingKeys, Statement

    begun = desktop.begin()
    link = PairingLink.parse(begun["link"])
    key = PairingKeys.of_secret(link.secret, link.household).device
    response = desktop.post(body_of(Statement.made({"v": 1} | content, key, Identity.create())))
    assert response.status_code in (400, 403)


def refused(desktop: Waiting, body: dict[str, str], code: str) -> None:
    before = devices(desktop)
    response = desktop.post(body)
    assert (response.status_code, response.json()["error"]["code"]) == (403, code)
    assert devices(desktop) == before
