from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from mobile_sync import discovery as module
from mobile_sync.discovery import Candidate, Discovery, static_peers
from zeroconf import ServiceStateChange

KNOWN, STATIC, NEW = "http://192.168.1.5:5000", "http://desk.lan:5000", "http://192.168.1.9:5000"


@contextmanager
def around(probe: Callable[[str, float], bool], **arguments: object) -> Iterator[Discovery]:
    """Without a network of its own."""
    yield Discovery("household", probe, addresses=lambda: (), environ={}, **arguments)  # type: ignore[arg-type]


def test_candidates_are_those_seen_before_then_those_of_the_settings_without_repetition() -> None:
    with around(
        lambda url, timeout_s: True, static=[STATIC, KNOWN + "/"], known=lambda: [KNOWN]
    ) as discovery:
        assert discovery.candidates() == [Candidate(KNOWN, "known"), Candidate(STATIC, "static")]


def test_present_is_who_proves_himself_and_a_failure_is_remembered_until_the_network_changes() -> None:
    asked: list[str] = []

    def probe(url: str, timeout_s: float) -> bool:
        asked.append(url)
        return url == KNOWN

    with around(probe, static=[STATIC], known=lambda: [KNOWN]) as discovery:
        assert discovery.present() == discovery.present() == [Candidate(KNOWN, "known")]
        assert sorted(asked) == sorted([KNOWN, STATIC, KNOWN])
        discovery.forget_failures()
        discovery.present()
        assert asked.count(STATIC) == 2


def test_a_host_that_says_nothing_delays_the_others_by_no_more_than_the_timeout() -> None:
    release = threading.Event()

    def probe(url: str, timeout_s: float) -> bool:
        return url == KNOWN or release.wait(30)

    with around(probe, static=[STATIC], known=lambda: [KNOWN]) as discovery:
        assert discovery.present(timeout_s=0.2) == [Candidate(KNOWN, "known")]
        assert discovery.failed_lately(STATIC)
    release.set()


def test_a_probe_that_breaks_is_a_failure() -> None:
    def probe(url: str, timeout_s: float) -> bool:
        raise OSError("no route")

    with around(probe, static=[STATIC]) as discovery:
        assert discovery.present() == [] and discovery.failed_lately(STATIC)


def test_failures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CANDIDATES", 4)
    with around(lambda url, timeout_s: False) as discovery:
        for number in range(100):
            discovery.failed(f"http://10.0.0.{number}:1")
        assert sum(discovery.failed_lately(f"http://10.0.0.{number}:1") for number in range(100)) == 8


@pytest.mark.parametrize(
    ("text", "peers"),
    [
        ("", []),
        (
            "192.168.1.20:5000, https://desk.example.org/ ",
            ["http://192.168.1.20:5000", "https://desk.example.org"],
        ),
        ("[fd00::1]:5000", ["http://[fd00::1]:5000"]),
        ("ftp://desk, http://[, desk:99999, :, http://", []),
    ],
)
def test_peers_of_the_environment(text: str, peers: list[str]) -> None:
    assert static_peers({"ORCHESTRATOR_PEERS": text}) == peers


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.251", "ff02::fb", "fe80::1", "x"]
)
def test_an_advertisement_does_not_send_the_phone_to_such_an_address(address: str) -> None:
    assert not module._may_be_knocked(address)


def test_a_flood_of_advertisements_is_bounded_and_hides_no_address_that_is_known() -> None:
    class Deaf:
        loop = None

    with around(lambda url, timeout_s: True, known=lambda: [KNOWN]) as discovery:
        for number in range(1000):
            discovery._heard(Deaf(), "", f"{number}._orchestrator._tcp.local.", ServiceStateChange.Added)  # type: ignore[arg-type]
        assert len(discovery._advertised) == module.MAX_SERVICES
        for name in discovery._advertised:
            discovery._advertised[name] = [f"http://10.0.{name.partition('.')[0]}.1:5000"]
        assert len(discovery.candidates()) == module.MAX_CANDIDATES
        assert discovery.candidates()[0] == Candidate(KNOWN, "known")
