from __future__ import annotations

import re

import pytest
from orchestrator_core.errors import ConfigurationError, PortInUse
from orchestrator_http.binding import bind, close_all, reachable_url


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_told(host: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(host)):
        bind(host, 0)


def test_localhost_is_bound_on_all_its_addresses_with_one_port() -> None:
    sockets = bind("localhost", 0)
    assert len({one.getsockname()[1] for one in sockets}) == 1
    close_all(sockets)


def test_a_star_stands_for_all_addresses_of_both_families() -> None:
    sockets = bind("*", 0)
    assert {one.getsockname()[0] for one in sockets} >= {"0.0.0.0"}
    close_all(sockets)


def test_a_port_in_use_is_told_with_what_to_do() -> None:
    taken = bind("127.0.0.1", 0)
    port = taken[0].getsockname()[1]
    with pytest.raises(PortInUse) as caught:
        bind("127.0.0.1", port)
    assert str(port) in caught.value.message and "--port" in str(caught.value.hint)
    close_all(taken)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("*", "http://127.0.0.1:80"),
        ("desk.lan", "http://desk.lan:80"),
    ],
)
def test_a_wildcard_address_is_reached_through_loopback(host: str, url: str) -> None:
    assert reachable_url(host, 80) == url
