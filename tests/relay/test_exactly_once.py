"""Outbox and client against two real servers: whatever is killed or cut at whichever step, each message is there once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mobile_sync.client import PhoneClient
from mobile_sync.errors import ConnectionCut, NothingReachable
from mobile_sync.household import Household
from mobile_sync.membership import Membership
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.settings import Settings
from orchestrator_relay.identity.machine import Identity
from shared_context.errors import SharedContextError
from support.fleet import Fleet, wait_until
from support.paired_phone import let_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MESSAGES = 14
FAULT_RATE = 0.35
LANES = ("trip", "work")


class Crash(BaseException):
    """The phone's battery is empty."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    let_in(folder / "desktop" / "data", folder / "phone")
    with Fleet(folder, settings={"ORCHESTRATOR_RELAY__SETTLE_S": "0"}) as fleet:
        fleet.connect()
        fleet.phone_data = folder / "phone"  # type: ignore[attr-defined]
        yield fleet


@pytest.mark.parametrize("seed", [1, 2])
def test_each_message_arrives_once_and_in_order_over_crashes_of_all_three(
    fleet: Fleet, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(Household, "opened", _faulty(Household.opened, chance, fleet))
    lanes = {lane: f"{lane}-{seed}" for lane in LANES}
    written: dict[str, list[str]] = {conversation: [] for conversation in lanes.values()}
    waiting = [lanes[chance.choice(LANES)] for _ in range(MESSAGES)]
    client = _phone(fleet)
    try:
        for number, conversation in enumerate(waiting):
            written[conversation].append(f"message {number} of {seed}")
            try:
                client.chat(written[conversation][-1], conversation)
            except Crash:
                client.close()
                client = _phone(fleet)
            except (OrchestratorError, SharedContextError):
                pass
        monkeypatch.undo()
        _start_all(fleet)
        fleet.wait_for_tier("desktop")
        wait_until(client.flush, "everything should be delivered", 120)
    finally:
        client.close()
    for conversation, texts in written.items():
        _assert_once(fleet, conversation, texts)


def _assert_once(fleet: Fleet, conversation: str, texts: list[str]) -> None:
    def history() -> list[dict[str, Any]]:
        return fleet.history(fleet.desktop_url, conversation)

    wait_until(lambda: len(history()) >= 2 * len(texts), "the desktop should have everything", 60)
    told = history()
    assert [message["content"] for message in told if message["role"] == "user"] == texts
    replies = Counter(message["reply_to"] for message in told if message["role"] == "assistant")
    assert len(replies) == len(texts) and set(replies.values()) == {1}


def _faulty(opened: Callable[..., Any], chance: random.Random, fleet: Fleet) -> Callable[..., Any]:
    """What may go wrong with any request: before it is sent, on its way, and after it was answered."""

    @contextmanager
    def open_or_not(self: Household, choice: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
        fault = chance.choice(FAULTS) if chance.random() < FAULT_RATE else None
        if fault == "never sent":
            raise NothingReachable("no road")
        if fault == "crash before":
            raise Crash
        if fault in ("desktop killed", "vps killed"):
            server = fleet.desktop if fault == "desktop killed" else fleet.vps
            server.kill()
            _start_all(fleet)
        with opened(self, choice, *arguments, **options) as answer:
            if fault == "lost after it was sent":
                raise ConnectionCut("cut")
            yield answer
        if fault == "crash after":
            raise Crash

    return open_or_not


FAULTS = (
    *("never sent", "lost after it was sent") * 3,
    *("crash before", "crash after") * 2,
    *("desktop killed", "vps killed"),
)


def _start_all(fleet: Fleet) -> None:
    for server in (fleet.desktop, fleet.vps):
        if not server.running:
            server.start()


def _phone(fleet: Fleet) -> PhoneClient:
    data: Path = fleet.phone_data  # type: ignore[attr-defined]
    household, vps = (
        Identity.load(Path(env["ORCHESTRATOR_DATA"])) for env in (fleet.desktop_env, fleet.vps_env)
    )
    assert household is not None and vps is not None
    Membership(household.public, "Pixel", urls=(fleet.desktop_url,), vps_url=fleet.url, vps=vps.public).write(
        data
    )
    return PhoneClient(Settings.model_validate({"data": data, "context": {"embeddings": None}}))
