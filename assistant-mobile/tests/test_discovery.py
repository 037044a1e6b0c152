from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from mobile_sync import discovery as module
from mobile_sync.discovery import Candidate, Discovery, static_peers
from zeroconf import ServiceStateChange

KNOWN, STATIC, NEW = "http://192.168.1.5:5000", "http://desk.lan:5000", "http://192.168.1.9:5000"


@contextmanager
def around(**arguments: object) -> Iterator[Discovery]:
    """Without a network of its own."""
    yield Discovery("household", addresses=lambda: (), environ={}, **arguments)  # type: ignore[arg-type]


def test_candidates_are_those_seen_before_then_those_of_the_settings_without_repetition() -> None:
    with around(static=[STATIC, KNOWN + "/"], known=lambda: [KNOWN]) as discovery:
        assert discovery.candidates() == [Candidate(KNOWN, "known"), Candidate(STATIC, "static")]


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

    with around(known=lambda: [KNOWN]) as discovery:
        for number in range(1000):
            discovery._heard(Deaf(), "", f"{number}._orchestrator._tcp.local.", ServiceStateChange.Added)  # type: ignore[arg-type]
        assert len(discovery._advertised) == module.MAX_SERVICES
        for name in discovery._advertised:
            discovery._advertised[name] = [f"http://10.0.{name.partition('.')[0]}.1:5000"]
        assert len(discovery.candidates()) == module.MAX_CANDIDATES
        assert discovery.candidates()[0] == Candidate(KNOWN, "known")
