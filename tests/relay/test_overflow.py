"""A desktop with too much to do: real engine, real queue, and a VPS that takes some of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gguf_models import preset_model
from support.fleet import KEY, Fleet, script, wait_until
from support.stream_client import Seen, StreamClient

AWAY = "The VPS takes this one."
HEARTBEAT_S = 60

pytestmark = pytest.mark.slow


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """One answer at a time at the desktop; with more than one waiting there, the VPS is asked."""
    model = preset_model(tmp_path / "random.gguf", "5M")
    settings = {
        "ORCHESTRATOR_ENGINE__MAX_SEQUENCES": "1",
        "ORCHESTRATOR_ENGINE__THREADS": "1",
        "ORCHESTRATOR_RELAY__OVERFLOW_QUEUE": "1",
        "ORCHESTRATOR_RELAY__HEARTBEAT_S": str(HEARTBEAT_S),
        "ORCHESTRATOR_RELAY__SILENCE_S": str(3 * HEARTBEAT_S),
    }
    with Fleet(
        tmp_path, desktop=str(model), vps=script(tmp_path / "vps.yaml", AWAY), settings=settings
    ) as fleet:
        fleet.connect()
        yield fleet


def keep_busy(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    """Ten long answers: one runs, the others wait."""
    client = StreamClient(fleet.desktop_url, patience_s=1)
    for number in range(10):
        pool.submit(client.ask, question(f"busy-{number}", max_tokens=1500, tier="desktop"))
    wait_until(lambda: fleet.get("/info", fleet.desktop_url).json()["waiting"] >= 2, "two should wait")


def question(message_id: str, **fields: object) -> dict[str, object]:
    return {"message": "Tell me everything", "message_id": message_id, "seed": 1, **fields}


@pytest.mark.parametrize("asked", ["desktop", "vps"])
def test_what_would_wait_too_long_is_answered_by_the_vps(fleet: Fleet, asked: str) -> None:
    url, key = (fleet.desktop_url, None) if asked == "desktop" else (fleet.vps_url, KEY)
    with ThreadPoolExecutor(11) as pool:
        keep_busy(fleet, pool)
        wait_until(lambda: asked == "desktop" or told_queue(fleet) >= 2, "the VPS should know of the queue")
        seen: Seen = StreamClient(url, key=key).ask(question("one-more"))
        assert seen.done is not None, seen
        assert (seen.text, seen.done["tier"]) == (AWAY, "vps")
        assert "busy" in seen.done["reason"]
        fleet.desktop.kill()  # nobody needs the long answers


def test_the_vps_learns_of_a_queue_while_it_grows(fleet: Fleet) -> None:
    """Also between heartbeats: the limit is exceeded by questions that the VPS itself passed on."""
    with ThreadPoolExecutor(11) as pool:
        client = StreamClient(fleet.vps_url, key=KEY, patience_s=1)
        for number in range(10):
            pool.submit(client.ask, question(f"busy-{number}", max_tokens=1500, tier="desktop"))
        wait_until(lambda: told_queue(fleet) >= 2, "the VPS should know of the queue", HEARTBEAT_S / 2)
        fleet.desktop.kill()


def told_queue(fleet: Fleet) -> int:
    queue: int = fleet.get("/info").json()["relay"]["desktop"]["queue"]
    return queue
