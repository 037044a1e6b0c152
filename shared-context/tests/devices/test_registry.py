from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_context.conversations.store import ConversationStore
from shared_context.devices.device import device_of, grant_of
from shared_context.devices.registry import Devices
from shared_context.errors import DeviceNotFound, DeviceRejected
from shared_context.exchange.message_log import MessageLog
from shared_context.exchange.wire import Span

KEY = Ed25519PrivateKey.generate()
PHONE = {"name": "Pixel", "kind": "phone", "public": "P" * 86}


def verify(signature: bytes, message: bytes) -> bool:
    try:
        KEY.public_key().verify(signature, message)
    except InvalidSignature:
        return False
    return True


@dataclass
class Tier:
    store: ConversationStore
    devices: Devices

    def pull(self, other: Tier) -> None:
        have = MessageLog(self.store).vector()
        while True:
            page = MessageLog(other.store).since(have)
            MessageLog(self.store).receive([Span.model_validate(span) for span in page.spans])
            have = MessageLog(self.store).vector()
            if not page.more:
                return


@pytest.fixture
def tiers(tmp_path: Path) -> Iterator[tuple[Tier, Tier]]:
    with ConversationStore.open(tmp_path / "a.db") as one, ConversationStore.open(tmp_path / "b.db") as other:
        yield Tier(one, Devices(one, verify, KEY.sign)), Tier(other, Devices(other, verify))


def test_a_paired_device_is_known_on_every_tier(tiers: tuple[Tier, Tier]) -> None:
    desktop, vps = tiers
    made = desktop.devices.add("phone1", **PHONE)
    vps.pull(desktop)
    assert vps.devices.get("phone1") == made
    assert vps.devices.list() == [made]
    assert [one.conversation_id for one in vps.store.list(empty=True)] == ["default"]


def test_only_the_desktop_lets_devices_in(tiers: tuple[Tier, Tier]) -> None:
    desktop, vps = tiers
    with pytest.raises(DeviceRejected):
        vps.devices.add("phone1", **PHONE)
    forged = Devices(vps.store, lambda *_: True, Ed25519PrivateKey.generate().sign)
    forged.add("intruder", **PHONE)
    desktop.pull(vps)
    assert desktop.devices.lookup("intruder") is None
    assert desktop.devices.list() == []


def test_a_grant_is_for_one_id_and_cannot_be_altered(tiers: tuple[Tier, Tier]) -> None:
    desktop, _ = tiers
    grant = grant_of(desktop.devices.add("phone1", **PHONE), KEY.sign)
    for device_id, text in (
        ("other", grant),
        ("wide", grant.replace('"memory"', '"admin"').replace("phone1", "wide")),
        ("dotless", "x"),
        ("empty", "."),
    ):
        with desktop.store.database.write() as connection:
            desktop.store.set_register(connection, device_id, "grant", text)
        assert desktop.devices.lookup(device_id) is None


def test_a_revoked_device_never_comes_back(tiers: tuple[Tier, Tier]) -> None:
    desktop, vps = tiers
    desktop.devices.add("phone1", **PHONE)
    vps.pull(desktop)
    vps.devices.revoke("phone1")
    desktop.devices.rename("phone1", "Renamed meanwhile")
    desktop.devices.add("phone1", **PHONE)
    desktop.pull(vps)
    vps.pull(desktop)
    for tier in tiers:
        assert tier.devices.get("phone1").revoked_at is not None
    with pytest.raises(DeviceRejected) as raised:
        desktop.devices.add("phone1", **PHONE)
    assert raised.value.code == "device_revoked"
    revoked_at = desktop.devices.get("phone1").revoked_at
    assert desktop.devices.revoke("phone1").revoked_at == revoked_at


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["rename", "revoke", "add", "pull"])), max_size=12)
)
def test_whatever_happens_in_whatever_order_tiers_agree_and_a_revocation_wins(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("tiers")
    with ConversationStore.open(folder / "a.db") as one, ConversationStore.open(folder / "b.db") as other:
        tiers = (Tier(one, Devices(one, verify, KEY.sign)), Tier(other, Devices(other, verify)))
        tiers[0].devices.add("phone1", **PHONE)
        tiers[1].pull(tiers[0])
        numbers, revoked = itertools.count(), False
        for which, step in steps:
            tier = tiers[which]
            if step == "rename":
                tier.devices.rename("phone1", f"name {next(numbers)}")
            elif step == "revoke":
                tier.devices.revoke("phone1")
                revoked = True
            elif step == "pull":
                tier.pull(tiers[1 - which])
            elif tiers[0].devices.get("phone1").revoked_at is None:
                tiers[0].devices.add("phone1", **PHONE)
        tiers[0].pull(tiers[1])
        tiers[1].pull(tiers[0])
        seen = [tier.devices.get("phone1") for tier in tiers]
        assert seen[0] == seen[1]
        assert (seen[0].revoked_at is not None) == revoked


def test_last_seen_stays_on_its_tier_and_is_written_seldom(tiers: tuple[Tier, Tier]) -> None:
    desktop, vps = tiers
    desktop.devices.add("phone1", **PHONE)
    vps.pull(desktop)
    before = MessageLog(vps.store).vector()
    vps.devices.seen("phone1", "tls")
    seen = vps.devices.get("phone1")
    assert seen.last_seen_by == "tls" and seen.last_seen_at is not None
    assert MessageLog(vps.store).vector() == before
    written: list[bool] = []
    vps.store.database.on_commit(lambda: written.append(True))
    for way in ("lan", "tls") * 10:
        vps.devices.seen("phone1", way)
    assert not written
    assert Devices(vps.store, verify).get("phone1").last_seen_by == "tls"
    assert desktop.devices.get("phone1").last_seen_at is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 65},
        {"name": "a\nb"},
        {"name": " a"},
        {"kind": ""},
        {"scopes": ()},
        {"scopes": ("root",)},
    ],
    ids=str,
)
def test_what_cannot_be_stored_is_refused(tiers: tuple[Tier, Tier], wrong: dict[str, object]) -> None:
    with pytest.raises(DeviceRejected) as raised:
        tiers[0].devices.add("phone1", **{**PHONE, **wrong})  # type: ignore[arg-type]
    assert raised.value.param == next(iter(wrong))
    with pytest.raises(DeviceNotFound):
        tiers[0].devices.get("phone1")


@given(st.text(max_size=200))
def test_whatever_a_grant_says_is_a_device_or_nothing(value: str) -> None:
    assert device_of(value, "phone1", lambda *_: True) is None
