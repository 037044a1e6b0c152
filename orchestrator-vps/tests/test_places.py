import pytest
from orchestrator_vps import places


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.9", "203.0.113.9", True),
        ("203.0.113.9", "203.0.113.10", False),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2:bbbb::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("203.0.113.9", "2001:db8::1", False),
        ("", "203.0.113.9", True),
        ("203.0.113.9", "", True),
    ],
)
def test_addresses_tell_places_apart_as_far_as_they_can(one, other, same):
    assert places.same(one, other) is same
    assert places.same(other, one) is same


@pytest.mark.parametrize(
    ("address", "plain"),
    [("fe80::1%eth0", "fe80::1"), ("unix:", ""), ("", ""), (None, ""), ("203.0.113.9", "203.0.113.9")],
)
def test_what_is_no_address_is_told_to_nobody(address, plain):
    assert places.plain(address) == plain
