"""A desktop that advertises itself and a phone that looks for it, on hosts of their own, among others and each other's
independent implementations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from ai_orchestrator.advertisement import Advertisement
from mobile_sync.discovery import Discovery
from orchestrator_relay.identity.machine import Identity
from support import avahi, namespaces
from support.desktop import listening
from support.namespaces import Host, Network
from support.waiting import wait_until

SERVICE = "_orchestrator._tcp"
HOME, OTHER = Identity.create().id, Identity.create().id
JAVASCRIPT = Path(__file__).parents[1] / "clients" / "javascript"

_REASON = namespaces.missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(_REASON is not None and not os.environ.get("CI"), reason=str(_REASON)),
]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network("desktop", "phone", "other") as network:
        for number, name in enumerate(("desktop", "phone", "other"), 1):
            network[name].run("ip", "address", "add", f"fd77::{number}/64", "dev", "eth0", "nodad")
        yield network


@contextmanager
def advertised(host: Host, household: str = HOME, port: int = 5000) -> Iterator[Advertisement]:
    with host.entered():
        advertisement = Advertisement(household, "0.1.0", ["0.0.0.0", "::"], port).start()
    try:
        yield advertisement
    finally:
        advertisement.close()


@contextmanager
def looking(host: Host, household: str = HOME) -> Iterator[Discovery]:
    with host.entered():
        discovery = Discovery(household, environ={}).start()
    try:
        yield discovery
    finally:
        discovery.close()


def urls(discovery: Discovery) -> set[str]:
    return {candidate.url for candidate in discovery.candidates()}


def both(host: int, port: int = 5000) -> set[str]:
    return {f"http://10.77.0.{host}:{port}", f"http://[fd77::{host}]:{port}"}


def test_the_phone_finds_the_desktop_by_both_families_and_hears_its_goodbye(network: Network) -> None:
    with looking(network["phone"]) as discovery:
        with advertised(network["desktop"]):
            wait_until(lambda: urls(discovery) == both(1))
        wait_until(lambda: not urls(discovery))


def test_of_two_desktops_with_one_name_each_household_finds_its_own(network: Network) -> None:
    with ExitStack() as stack:
        mine, theirs = (stack.enter_context(looking(network["phone"], who)) for who in (HOME, OTHER))
        stack.enter_context(advertised(network["desktop"], HOME))
        wait_until(lambda: urls(mine) == both(1))
        stack.enter_context(advertised(network["other"], OTHER, port=5001))
        wait_until(lambda: urls(theirs) == both(3, 5001))
        assert urls(mine) == both(1)


def test_a_desktop_whose_address_changes_is_found_at_the_new_one(network: Network) -> None:
    desktop = network["desktop"]
    with advertised(desktop), looking(network["phone"]) as discovery:
        wait_until(lambda: urls(discovery) == both(1))
        readdress(desktop, "10.77.0.1", "10.77.0.9")
        try:
            moved = {"http://10.77.0.9:5000", "http://[fd77::1]:5000"}
            wait_until(lambda: urls(discovery) == moved)
        finally:
            readdress(desktop, "10.77.0.9", "10.77.0.1")


def readdress(host: Host, old: str, new: str) -> None:
    """As a router does that lends another address."""
    host.run("ip", "address", "del", f"{old}/24", "dev", "eth0")
    host.run("ip", "address", "add", f"{new}/24", "dev", "eth0")
    host.run("ip", "route", "replace", "default", "dev", "eth0")


def test_a_phone_that_joins_the_network_later_finds_what_is_there(network: Network) -> None:
    phone = network["phone"]
    phone.run("ip", "link", "set", "eth0", "down")
    with advertised(network["desktop"]), looking(phone) as discovery:
        phone.run("ip", "link", "set", "eth0", "up")
        phone.run("ip", "address", "replace", "fd77::2/64", "dev", "eth0", "nodad")
        phone.run("ip", "route", "replace", "default", "dev", "eth0")
        wait_until(lambda: urls(discovery) == both(1))


def test_the_server_advertises_itself_unless_it_is_told_not_to(network: Network, tmp_path: Path) -> None:
    settings = {"host": "*", "api_key": "k" * 32, "port": 5000}
    for name in ("off", "on"):
        (tmp_path / name).mkdir()
    household = Identity.load_or_create(tmp_path / "on").id
    (tmp_path / "off" / "identity.json").write_bytes((tmp_path / "on" / "identity.json").read_bytes())
    (tmp_path / "off" / "identity.json").chmod(0o600)
    with ExitStack() as stack:
        discovery = stack.enter_context(looking(network["phone"], household))
        with network["desktop"].entered():
            stack.enter_context(listening(tmp_path / "off", advertise=False, **settings))
        with network["other"].entered():
            stack.enter_context(listening(tmp_path / "on", **settings))
        wait_until(lambda: urls(discovery))
        assert urls(discovery) == both(3)


needs_avahi = pytest.mark.skipif(
    avahi.missing() is not None and not os.environ.get("CI"), reason=str(avahi.missing())
)


@needs_avahi
def test_avahi_sees_the_desktop_and_its_hints(network: Network, tmp_path: Path) -> None:
    with advertised(network["desktop"]), avahi.avahi(network["other"], tmp_path) as client:
        rows: list[list[str]] = []

        def seen() -> bool:
            rows[:] = client.browse(SERVICE)
            return {row[7] for row in rows} >= {"10.77.0.1"} or {row[7] for row in rows} >= {"fd77::1"}

        wait_until(seen)
    assert {row[8] for row in rows} == {"5000"}
    assert all(f'"id={HOME}"' in row[9] and '"api=1"' in row[9] and '"ver=0.1.0"' in row[9] for row in rows)


@needs_avahi
def test_the_phone_sees_what_avahi_publishes_unless_it_is_of_another_household(
    network: Network, tmp_path: Path
) -> None:
    with avahi.avahi(network["other"], tmp_path) as client, looking(network["phone"]) as discovery:
        with (
            client.publishing("--service", "desk", SERVICE, "5005", f"id={HOME}", "api=1"),
            client.publishing("--service", "next door", SERVICE, "5006", f"id={OTHER}", "api=1"),
        ):
            wait_until(lambda: "http://10.77.0.3:5005" in urls(discovery))
            assert not any(url.endswith(":5006") for url in urls(discovery))
        wait_until(lambda: not urls(discovery))


@pytest.fixture
def javascript() -> list[str]:
    if shutil.which("node") is None or not (JAVASCRIPT / "node_modules" / "bonjour-service").is_dir():
        pytest.skip("node or the npm packages are not installed: make setup-dev")
    return ["node", str(JAVASCRIPT / "bonjour.mjs")]


def test_bonjour_service_sees_the_desktop_and_its_hints(network: Network, javascript: list[str]) -> None:
    with advertised(network["desktop"]):
        told = json.loads(network["other"].run(*javascript, "find"))
    assert told["port"] == 5000 and told["txt"] == {"id": HOME, "ver": "0.1.0", "api": "1"}
    assert {"10.77.0.1", "fd77::1"} <= set(told["addresses"])


def test_the_phone_sees_what_bonjour_service_publishes(network: Network, javascript: list[str]) -> None:
    with looking(network["phone"]) as discovery:
        command = network["other"].command([*javascript, "publish", HOME, "5007"])
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            wait_until(lambda: "http://10.77.0.3:5007" in urls(discovery))
        finally:
            process.communicate(timeout=20)
