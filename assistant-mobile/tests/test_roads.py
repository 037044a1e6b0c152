"""Roads are knocked, left and found again; what is dead is never shown as connected."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mobile_sync.roads import Roads, Winners, network_key

LAN, OTHER, VPS = "http://10.0.0.1:5000", "http://10.0.0.2:5000", "https://vps.example"


class World:
    """Which URLs answer, and how often each was knocked."""

    def __init__(self, *up: str) -> None:
        self.up = set(up)
        self.knocks: list[str] = []
        self.network = "home"

    def probe(self, url: str) -> bool:
        self.knocks.append(url)
        return url in self.up


@pytest.fixture
def roads_in(tmp_path: Path) -> Callable[[World], Roads]:
    def make(world: World) -> Roads:
        winners = Winners(tmp_path / "roads.json")
        return Roads(lambda: [LAN, OTHER], VPS, world.probe, winners, network=lambda: world.network)

    return make


def test_the_network_is_preferred_and_its_winner_remembered(
    roads_in: Callable[[World], Roads], tmp_path: Path
) -> None:
    world = World(OTHER)
    roads = roads_in(world)
    assert roads.choose().url == OTHER
    assert Winners(tmp_path / "roads.json").get("home") == OTHER
    world.up.update([LAN, VPS])
    roads.network_changed()
    roads.choose()
    winner = Winners(tmp_path / "roads.json").get("home")
    while len(roads.alive()) < 2:
        time.sleep(0.01)
    assert roads.choose().url == winner in (LAN, OTHER)


def test_a_road_that_failed_is_left_for_the_next(roads_in: Callable[[World], Roads]) -> None:
    world = World(LAN, VPS)
    roads = roads_in(world)
    assert roads.choose().url == LAN
    world.up.discard(LAN)
    roads.failed(LAN)
    assert roads.choose().way == "vps"
    assert [road.url for road in roads.alive()] == [VPS]


def test_in_another_network_everything_is_knocked_anew(roads_in: Callable[[World], Roads]) -> None:
    world = World(VPS)
    roads = roads_in(world)
    assert roads.choose().way == "vps"
    world.network, world.up = "cafe", {LAN, VPS}
    assert roads.choose().url == LAN


def test_only_a_server_will_do_for_what_the_phone_cannot_answer(tmp_path: Path) -> None:
    roads = Roads(list, None, lambda url: False, Winners(tmp_path / "r"), own_model=lambda: True)
    assert roads.choose().way == "phone"
    assert roads.choose(others=True).way == "queue"


def test_a_guarded_road_that_falls_silent_is_told_once(
    roads_in: Callable[[World], Roads], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(LAN)
    roads = roads_in(world)
    roads.choose()
    dead = threading.Event()
    with roads.guarded(LAN, dead.set):
        assert not dead.wait(0.4)
        world.up.clear()
        assert dead.wait(10)
    assert roads.alive() == []


def test_a_guarded_road_is_left_when_the_device_moves(roads_in: Callable[[World], Roads]) -> None:
    world = World(LAN)
    roads = roads_in(world)
    roads.choose()
    dead = threading.Event()
    with roads.guarded(LAN, dead.set):
        world.network = "street"
        assert dead.wait(10)


def test_winners_are_bounded_and_a_damaged_file_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "roads.json"
    path.write_text('["no", "mapping"]')
    winners = Winners(path)
    for number in range(100):
        winners.note(f"network {number}", f"http://10.0.0.{number}")
    assert len(path.read_text()) < 10_000
    assert Winners(path).get("network 99") == "http://10.0.0.99"
    assert Winners(path).get("network 0") is None


def test_a_network_is_told_by_no_name(tmp_path: Path) -> None:
    key = network_key()
    assert key == network_key()
    assert len(key) in (0, 16)


def test_threads_do_not_stay(roads_in: Callable[[World], Roads]) -> None:
    roads = roads_in(World(LAN, VPS))
    roads.choose()
    give_up = time.monotonic() + 5
    while time.monotonic() < give_up and any("road" in thread.name for thread in threading.enumerate()):
        time.sleep(0.01)
    assert not any("road" in thread.name for thread in threading.enumerate())
