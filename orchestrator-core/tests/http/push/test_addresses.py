"""Which addresses a subscriber can make the server call."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.errors import InvalidRequest
from orchestrator_http.push.addresses import Endpoint, is_public, resolve


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *("224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1"),
        *(
            "::ffff:127.0.0.1",
            "::ffff:a00:1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "fec0::1",
        ),
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)
def test_private_addresses_are_private_in_every_disguise(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"])
def test_public_addresses_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "endpoint",
    [
        *("http://push.example.net/x", "ftp://push.example.net/x", "push.example.net/x", "", "https://"),
        *("https://127.0.0.1/x", "https://[::1]/x", "https://10.0.0.1:8443/x", "https://[::ffff:10.0.0.1]/"),
        *(
            "https://user@push.example.net/x",
            "https://push.example.net/x#y",
            "https://push.example.net/\r\nX: y",
        ),
        *("https://push.example.net:99999/", "https://push.example.net/ü", "file:///etc/passwd"),
    ],
)
def test_what_is_not_a_public_https_address_is_refused(endpoint):
    with pytest.raises(InvalidRequest):
        Endpoint.parse(endpoint)


def test_an_owner_allows_services_of_his_own_by_their_origin():
    allowed = ["http://127.0.0.1:8090"]
    assert Endpoint.parse("http://127.0.0.1:8090/up", allowed).addresses(resolve) == ["127.0.0.1"]
    for other in ("http://127.0.0.1:8091/up", "https://127.0.0.1:8090/up", "http://127.0.0.2:8090/up"):
        with pytest.raises(InvalidRequest, match="endpoint"):
            Endpoint.parse(other, allowed)


def test_a_name_that_stands_for_private_addresses_is_called_at_its_public_ones_only():
    endpoint = Endpoint.parse("https://push.example.net/x")
    assert endpoint.addresses(lambda host, port: ["127.0.0.1", "1.1.1.1", "::ffff:10.0.0.1"]) == ["1.1.1.1"]
    assert endpoint.addresses(lambda host, port: ["169.254.169.254"]) == []


@pytest.mark.parametrize(
    ("endpoint", "audience"),
    [
        ("https://push.example.net/a?b=c", "https://push.example.net"),
        ("https://Push.example.net:443/", "https://push.example.net"),
        ("https://push.example.net:8443/", "https://push.example.net:8443"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]"),
    ],
)
def test_the_audience_is_the_services_origin(endpoint, audience):
    assert Endpoint.parse(endpoint).audience == audience


@given(st.text(max_size=80))
def test_any_text_is_an_endpoint_or_is_refused(text):
    with contextlib.suppress(InvalidRequest):
        Endpoint.parse("https://" + text)
