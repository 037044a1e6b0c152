"""DNS rebinding and foreign pages: which Host and Origin headers pass."""

import pytest
from orchestrator_core.errors import Forbidden, InvalidRequest
from orchestrator_http.access.origins import (
    HostGuard,
    is_loopback,
    machine_addresses,
    same_origin,
    split_host,
)


@pytest.fixture
def guard():
    return HostGuard("127.0.0.1", ["desktop.lan"], own_addresses=lambda: {"192.168.1.5"})


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:5000",
        "LOCALHOST:5000",
        "localhost.",
        "127.0.0.1:5000",
        "127.3.4.5",
        "[::1]:5000",
        "desktop.lan",
        "Desktop.LAN:80",
    ],
)
def test_our_own_names_pass(guard, host):
    guard.check(host, None)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5000",
        "localhost.evil.example",
        "192.168.1.5",
        "127.0.0.1.evil.example",
        "0.0.0.0:5000",
        "[::2]",
        "notlocalhost",
    ],
)
def test_foreign_names_are_refused(guard, host):
    with pytest.raises(Forbidden) as caught:
        guard.check(host, None)
    assert caught.value.code == "foreign_host"
    assert "allowed_hosts" in caught.value.hint


@pytest.mark.parametrize(
    "host", [None, "", "a b", "a/b", "user@localhost", "localhost:port", "[::1", "localhost#x"]
)
def test_what_is_no_name_is_refused(guard, host):
    with pytest.raises((InvalidRequest, Forbidden)):
        guard.check(host, None)


def test_a_wildcard_stands_for_this_machines_addresses_not_for_every_name():
    guard = HostGuard("0.0.0.0", [], own_addresses=lambda: {"192.168.1.5"})
    guard.check("192.168.1.5:5000", None)
    for host in ("192.168.1.6", "evil.example", "0.0.0.0"):
        with pytest.raises(Forbidden):
            guard.check(host, None)


def test_the_list_stays_in_force_on_a_wildcard():
    guard = HostGuard("::", ["desktop.lan"], own_addresses=set)
    guard.check("desktop.lan", None)
    with pytest.raises(Forbidden):
        guard.check("other.lan", None)


@pytest.mark.parametrize("origin", ["http://localhost:5000", "HTTP://LOCALHOST:5000"])
def test_our_own_page_may_call(guard, origin):
    guard.check("localhost:5000", origin)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://localhost:3000",
        "http://localhost",
        "https://localhost:5001",
        "",
        "file://",
        "http://127.0.0.1:5000",
        "chrome-extension://abc",
        "http://localhost:5000.evil.example",
        "http://[",
    ],
)
def test_foreign_pages_may_not(guard, origin):
    with pytest.raises(Forbidden) as caught:
        guard.check("localhost:5000", origin)
    assert caught.value.code == "foreign_origin"


def test_behind_tls_the_default_port_is_left_out_on_both_sides():
    assert same_origin("https://desktop.lan", "desktop.lan")
    assert same_origin("https://desktop.lan", "desktop.lan:443")
    assert not same_origin("http://desktop.lan", "desktop.lan:443")


def test_names_are_compared_without_case_brackets_and_final_dot():
    assert split_host("[::1]:80") == ("::1", "80")
    assert split_host("Desk.Lan.") == ("desk.lan", None)


def test_loopback():
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("10.0.0.1") and not is_loopback("0.0.0.0") and not is_loopback("localhost.lan")


def test_this_machine_has_its_loopback_address():
    assert "127.0.0.1" in machine_addresses()
