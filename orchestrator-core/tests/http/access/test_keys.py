"""Who may ask: keys are compared whole, wrong ones are counted and never in a right one's way, nothing grows without bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.errors import ConfigurationError, Overloaded, Unauthorized
from orchestrator_core.settings import ServerSettings
from orchestrator_http.access.keys import (
    MAX_ADDRESSES,
    MAX_FAILURES,
    SHORT_KEY,
    WINDOW_S,
    FailedAttempts,
    KeyGuard,
    refuse_open_bind,
)
from pydantic import SecretStr


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(clock):
    return KeyGuard([SecretStr("right")], FailedAttempts(clock))


def test_the_right_key_passes(guard):
    guard.check("Bearer right", "10.0.0.1")
    guard.check("bearer right", "10.0.0.1")


@pytest.mark.parametrize(
    "sent", [None, "", "Bearer wrong", "Bearer ", "right", "Basic right", "Bearer right x"]
)
def test_anything_else_is_unauthorized(guard, sent):
    with pytest.raises(Unauthorized):
        guard.check(sent, "10.0.0.1")


def test_without_a_configured_key_any_key_passes():
    KeyGuard([]).check(None, "127.0.0.1")
    KeyGuard([]).check("Bearer whatever", "127.0.0.1")


def fail(guard, address, times):
    for _ in range(times):
        with pytest.raises(Unauthorized):
            guard.check("Bearer wrong", address)


def test_after_too_many_wrong_keys_the_next_wrong_one_is_told_to_wait(guard, clock):
    fail(guard, "10.0.0.1", MAX_FAILURES)
    clock.now += 20
    with pytest.raises(Overloaded) as caught:
        guard.check("Bearer wrong", "10.0.0.1")
    assert caught.value.retry_after_s == WINDOW_S - 20
    clock.now += WINDOW_S
    fail(guard, "10.0.0.1", 1)


@given(st.lists(st.sampled_from(["wrong", "right", "desktop", None]), max_size=60))
def test_a_right_key_passes_whatever_else_came_from_its_address(keys):
    guard = KeyGuard([SecretStr("right")], verifiers=[lambda key: key == "desktop"])
    for key in keys:
        authorization = None if key is None else f"Bearer {key}"
        if key in ("right", "desktop"):
            guard.check(authorization, "10.0.0.1")
        else:
            with pytest.raises((Unauthorized, Overloaded)):
                guard.check(authorization, "10.0.0.1")


def test_each_wrong_key_is_logged_with_its_address_and_without_itself(guard, caplog):
    for sent in ("Bearer wrong", None):
        with pytest.raises(Unauthorized):
            guard.check(sent, "2001:db8::1")
    (record,) = caplog.records
    assert record.getMessage() == "Refused 2001:db8::1: wrong API key"


def test_a_short_key_is_spoken_of(caplog):
    KeyGuard([SecretStr("x" * SHORT_KEY)])
    assert not caplog.records
    KeyGuard([SecretStr("x" * (SHORT_KEY - 1))])
    assert "server.api_key" in caplog.text and "xxx" not in caplog.text


def test_failures_of_long_ago_do_not_add_up(guard, clock):
    fail(guard, "10.0.0.1", MAX_FAILURES - 1)
    clock.now += WINDOW_S
    fail(guard, "10.0.0.1", MAX_FAILURES - 1)
    guard.check("Bearer right", "10.0.0.1")


def test_a_page_that_has_no_key_yet_is_not_counted_as_guessing(guard):
    for _ in range(3 * MAX_FAILURES):
        with pytest.raises(Unauthorized):
            guard.check(None, "10.0.0.1")
    guard.check("Bearer right", "10.0.0.1")


def test_the_table_of_addresses_is_bounded(clock):
    attempts = FailedAttempts(clock)
    for number in range(MAX_ADDRESSES + 50):
        attempts.add(f"10.0.{number // 256}.{number % 256}", "API key")
    assert len(attempts) == MAX_ADDRESSES


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "desktop.lan", ""])
def test_an_open_address_without_a_key_is_refused(host):
    settings = ServerSettings.model_construct(host=host, api_key=None)
    with pytest.raises(ConfigurationError) as caught:
        refuse_open_bind(settings)
    assert "ORCHESTRATOR_API_KEY" in caught.value.hint


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_key(host):
    refuse_open_bind(ServerSettings(host=host))


def test_an_open_address_with_a_key_is_fine():
    refuse_open_bind(ServerSettings(host="0.0.0.0", api_key=SecretStr("k")))


def test_an_empty_key_is_no_key():
    with pytest.raises(ConfigurationError):
        refuse_open_bind(ServerSettings(host="0.0.0.0", api_key=SecretStr("  ")))
