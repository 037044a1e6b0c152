"""One message for each event, whichever tiers saw it: a desktop and a VPS that are real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from shared_context.storage.identity import new_id
from support.fleet import KEY, Fleet, script, wait_until
from support.push_service import PushService, Subscriber, push_service

HOME, AWAY = "Home says so, at some length.", "The VPS says so, at some length."

pytestmark = pytest.mark.slow


@pytest.fixture
def service() -> Iterator[PushService]:
    with push_service() as running:
        yield running


@pytest.fixture
def fleet(tmp_path: Path, service: PushService) -> Iterator[Fleet]:
    desktop = script(tmp_path / "desktop.yaml", HOME, token_delay_s=0.1)
    vps = script(tmp_path / "vps.yaml", AWAY, token_delay_s=0.1)
    settings = {"ORCHESTRATOR_RELAY__SETTLE_S": "0", "ORCHESTRATOR_PUSH__LOCAL_SERVICES": service.origin}
    with Fleet(tmp_path, desktop=desktop, vps=vps, settings=settings) as fleet:
        fleet.connect()
        yield fleet


def ask_and_leave(fleet: Fleet, url: str, **fields: object) -> str:
    """Id of the run."""
    body = {"message": "What is it?", "message_id": new_id(), **fields}
    headers = {"Authorization": f"Bearer {KEY}"}
    with requests.post(f"{url}/chat/stream", json=body, headers=headers, stream=True, timeout=30) as answer:
        assert answer.status_code == 200
        return answer.headers["X-Run-Id"]


def subscribed(fleet: Fleet, service: PushService, url: str) -> Subscriber:
    headers = {"Authorization": f"Bearer {KEY}"}
    key = requests.get(f"{url}/push", headers=headers, timeout=30).json()
    assert key["tier"] == "vps", "it sends by day and night"
    service.public_key = key["public_key"]
    phone = service.subscriber()
    answer = requests.post(f"{url}/push", json=phone.as_json(), headers=headers, timeout=30)
    assert answer.status_code == 201, answer.text
    return phone


def told(phone: Subscriber, service: PushService) -> list[tuple[str, str, str]]:
    assert not service.refusals
    return [(message["kind"], message.get("tier", ""), message["run_id"]) for message in phone.messages]


def test_each_answer_that_nobody_watched_is_told_once(fleet: Fleet, service: PushService) -> None:
    phone = subscribed(fleet, service, fleet.desktop_url)
    expected = []
    for url in (fleet.desktop_url, fleet.vps_url):
        expected.append(("answer", "desktop", ask_and_leave(fleet, url)))
        wait_until(lambda: len(phone.messages) >= len(expected), "the phone should be told")
    assert fleet.ask("And this?").text == HOME, "this one is watched"
    fleet.desktop.stop()
    fleet.wait_for_tier("vps")
    run_id = ask_and_leave(fleet, fleet.vps_url, better_later=True)
    expected.append(("answer", "vps", run_id))
    wait_until(lambda: len(phone.messages) >= 3, "the phone should be told by the VPS alone")
    assert phone.messages[-1]["text"] == AWAY
    fleet.desktop.start()
    wait_until(lambda: len(phone.messages) >= 4, "the phone should be told of the better answer", 60)
    assert told(phone, service)[:3] == expected
    better = phone.messages[3]
    assert (better["kind"], better["text"]) == ("better_answer", HOME)
    assert len(phone.messages) == 4


def test_what_happened_while_the_vps_was_away_is_told_once_when_it_is_back(
    fleet: Fleet, service: PushService
) -> None:
    phone = subscribed(fleet, service, fleet.vps_url)
    run_id = ask_and_leave(fleet, fleet.vps_url)
    fleet.vps.stop()
    wait_until(
        lambda: fleet.get(f"/runs/{run_id}", fleet.desktop_url).json()["state"] == "done", "it should end"
    )
    assert not phone.messages
    fleet.vps.start()
    wait_until(lambda: bool(phone.messages), "the phone should be told", 60)
    fleet.wait_for_tier("desktop")
    assert [message["run_id"] for message in phone.messages] == [run_id]
