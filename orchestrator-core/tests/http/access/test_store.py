"""Named keys, the log of the door, and the routes of devices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from orchestrator_core.errors import Conflict, InvalidRequest, NotFound
from orchestrator_http.access import store as access_module
from orchestrator_http.access.store import Access
from support.desktop import Desk, desk
from support.small_disk import fill, small_disk

KEY = "a key that nobody can guess"
OWNER = {"Authorization": f"Bearer {KEY}"}
LAN = {"REMOTE_ADDR": "192.168.1.77"}


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    opened = Access(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path, api_key=KEY) as found:
        yield found


def add_phone(here: Desk, device_id: str = "phone1") -> str:
    here.services.household.devices.add(device_id, name="Pixel", kind="phone", public="P" * 86)
    return device_id


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_a_key_is_known_by_its_hash_alone_until_it_is_revoked(access: Access, tmp_path: Path) -> None:
    key, secret = access.add_key("backup script", ("memory",))
    holder = access.holder(secret)
    assert holder is not None and (holder.id, holder.scopes) == (key.id, {"memory"})
    assert secret not in repr(access.api_keys())
    for path in tmp_path.iterdir():
        assert secret.encode() not in path.read_bytes()
    assert access.api_keys()[0].last_used_at is not None
    access.revoke_key("backup script")
    assert access.holder(secret) is None
    with pytest.raises(NotFound):
        access.revoke_key("backup script")


def test_a_full_disk_keeps_nobody_out(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, desk(disk, api_key=KEY) as here:
        _, secret = here.services.access.add_key("script")
        add_phone(here)
        fill(disk)
        assert here.client.get("/info", headers=bearer(secret)).status_code == 200
        wrong = here.client.get("/info", headers=bearer("wrong"))
        assert wrong.status_code == 401
        here.services.household.devices.seen("phone1", "lan")


def test_the_processs_own_key_opens_loopback_and_no_network(here: Desk) -> None:
    own = bearer(here.services.access.own_key)
    assert here.client.get("/devices", headers=own).status_code == 200
    answer = here.client.get("/devices", headers=own, environ_overrides=LAN)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "readable_key")
    later = Access(here.services.settings.data)
    assert later.holder(here.services.access.own_key) is None
    later.close()


def test_another_process_sees_a_key_and_its_revocation_at_once(access: Access, tmp_path: Path) -> None:
    other = Access(tmp_path)
    _, secret = other.add_key("script", ("ask",))
    assert access.holder(secret) is not None
    other.revoke_key("script")
    assert access.holder(secret) is None
    other.close()


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ("ask",)), (" a", ("ask",)), ("a\n", ("ask",)), ("a", ()), ("a", ("x",))]
)
def test_what_is_no_name_or_scope_is_refused(access: Access, name: str, scopes: Any) -> None:
    with pytest.raises(InvalidRequest):
        access.add_key(name, scopes)


def test_a_name_is_one_valid_keys(access: Access) -> None:
    access.add_key("script")
    with pytest.raises(Conflict):
        access.add_key("script")
    access.revoke_key("script")
    access.add_key("script")


def test_the_log_keeps_the_latest_and_no_more(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "MAX_EVENTS", 10)
    for number in range(25):
        access.note("refused", address=f"10.0.0.{number}", detail="x" * 1000)
    events = access.events(1000)
    assert [event.address for event in events] == [f"10.0.0.{number}" for number in range(24, 14, -1)]
    assert len(events[0].detail) == 200


def test_a_named_key_may_do_what_its_scopes_say(here: Desk) -> None:
    _, secret = here.services.access.add_key("asker", ("ask",))
    assert here.client.post("/chat", json={"message": "Hi"}, headers=bearer(secret)).status_code == 200
    for method, path in (("GET", "/conversations"), ("GET", "/devices"), ("DELETE", "/devices/phone1")):
        assert here.client.open(path, method=method, headers=bearer(secret)).status_code == 403
    assert here.client.get("/devices", headers=OWNER).status_code == 200


def test_a_named_key_is_not_for_networks_where_it_can_be_read(here: Desk) -> None:
    _, secret = here.services.access.add_key("asker", ("ask", "memory"))
    answer = here.client.get("/conversations", headers=bearer(secret), environ_overrides=LAN)
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "readable_key")
    over_tls = {**LAN, "wsgi.url_scheme": "https"}
    assert (
        here.client.get("/conversations", headers=bearer(secret), environ_overrides=over_tls).status_code
        == 200
    )


def test_the_key_of_the_settings_goes_on_working_and_is_warned_of_once(
    here: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert here.client.get("/conversations", headers=OWNER, environ_overrides=LAN).status_code == 200
    warned = [record for record in caplog.records if "plain HTTP" in record.getMessage()]
    assert len(warned) == 1 and KEY not in warned[0].getMessage()


def test_a_key_whose_holder_is_revoked_is_refused_with_the_next_request(here: Desk) -> None:
    _, secret = here.services.access.add_key("script", ("memory",))
    assert here.client.get("/conversations", headers=bearer(secret)).status_code == 200
    here.services.access.revoke_key("script")
    assert here.client.get("/conversations", headers=bearer(secret)).status_code == 401


def test_refusals_are_in_the_log_once_an_address_and_minute(here: Desk) -> None:
    for _ in range(5):
        here.client.get("/conversations", headers=bearer("wrong secret"), environ_overrides=LAN)
    events = [event for event in here.services.access.events() if event.what == "refused"]
    assert [(event.address, event.detail) for event in events] == [("192.168.1.77", "API key")]


def test_devices_are_listed_renamed_and_revoked(here: Desk) -> None:
    add_phone(here)
    listed = here.client.get("/devices", headers=OWNER).json
    assert listed["household"] == here.services.household.identity.id
    assert [(one["id"], one["name"], one["revoked_at"]) for one in listed["devices"]] == [
        ("phone1", "Pixel", None)
    ]
    renamed = here.client.patch("/devices/phone1", json={"name": "Mine"}, headers=OWNER)
    assert renamed.json["name"] == "Mine"
    revoked = here.client.delete("/devices/phone1", headers=OWNER)
    assert revoked.json["revoked_at"] is not None
    assert here.client.delete("/devices/phone1", headers=OWNER).json == revoked.json
    assert here.services.access.events(1)[0].what == "revoked"


@pytest.mark.parametrize("wrong", ["nobody", "UPPER", "a.b", "x" * 65])
def test_a_device_that_is_none_is_a_404(here: Desk, wrong: str) -> None:
    assert here.client.delete(f"/devices/{wrong}", headers=OWNER).status_code == 404
    assert here.client.patch(f"/devices/{wrong}", json={"name": "x"}, headers=OWNER).status_code == 404


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 65])
def test_a_name_that_cannot_be_stored_is_a_400(here: Desk, name: str) -> None:
    add_phone(here)
    assert here.client.patch("/devices/phone1", json={"name": name}, headers=OWNER).status_code == 400
