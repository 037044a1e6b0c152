"""Links and statements of a pairing: what is written is read, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_relay.errors import InvalidPairing, PairingRefused
from orchestrator_relay.identity.machine import Identity
from orchestrator_relay.identity.pairing import (
    PairingAnswer,
    PairingKeys,
    PairingLink,
    PairingRequest,
    Statement,
)

HOME, PHONE = Identity.create(), Identity.create()
KEYS = PairingKeys.of_secret(b"s" * 16, HOME.public)
LINK = PairingLink(
    HOME.public,
    b"s" * 16,
    ("http://192.168.1.5:5000", "http://[fd00::5]:5000"),
    "https://vps.example.org",
    "ab" * 32,
)


def said(key: bytes = KEYS.device) -> Statement:
    return PairingRequest(HOME.public, PHONE.public, "Pixel", "phone").statement(key, PHONE)


def test_a_link_is_read_as_it_was_written_and_shows_no_secret() -> None:
    assert PairingLink.parse(LINK.text()) == LINK
    assert repr(LINK.secret) not in repr(LINK)
    before, _, fragment = LINK.text().partition("#")
    assert before == "http://192.168.1.5:5000/pair" and "s=" in fragment


def test_a_link_through_a_vps_alone_leads_there() -> None:
    away = replace(LINK, urls=(), vps_fingerprint=None)
    assert away.text().startswith("https://vps.example.org/pair#") and PairingLink.parse(away.text()) == away


@given(st.text(max_size=200) | st.text(max_size=60).map(lambda junk: f"http://h/pair#{junk}"))
def test_what_is_no_link_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidPairing) as caught:
        PairingLink.parse(text)
    assert len(text) < 20 or text not in caught.value.message


@given(st.integers(min_value=0, max_value=len(LINK.text()) - 1))
def test_a_link_that_was_cut_is_refused_or_names_less_but_never_another_key(place: int) -> None:
    try:
        link = PairingLink.parse(LINK.text()[:place])
    except InvalidPairing:
        return
    assert (link.household, link.secret) == (LINK.household, LINK.secret)
    assert link.vps_fingerprint in (None, LINK.vps_fingerprint)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc/passwd", "http://", "http://h:0", "http://h?x=1"]
)
def test_an_address_that_is_none_makes_the_link_void(url: str) -> None:
    with pytest.raises(InvalidPairing):
        PairingLink.parse(replace(LINK, vps=url).text())


def test_a_code_gives_the_same_keys_however_it_is_typed_and_others_in_another_household() -> None:
    keys = PairingKeys.of_code("K7QF-M2XD-9HTP", HOME.public)
    assert keys == PairingKeys.of_code("k7qf m2xd 9htp", HOME.public)
    assert keys != PairingKeys.of_code("K7QF-M2XD-9HTP", PHONE.public)
    assert keys.device != keys.desktop and repr(keys) == "PairingKeys()"


def test_a_statement_says_who_asks_and_whom() -> None:
    request = PairingRequest.read(said())
    assert (request.household, request.device, request.name) == (HOME.public, PHONE.public, "Pixel")
    assert said().proves(KEYS.device) and not said().proves(KEYS.desktop)


def test_the_desktops_answer_holds_for_one_statement_alone() -> None:
    mine, others = said(), said()
    answer = PairingAnswer(HOME.public, "desk", LINK.urls).statement(mine, KEYS.desktop, HOME)
    assert PairingAnswer.read(answer, mine, KEYS.desktop).urls == LINK.urls
    with pytest.raises(PairingRefused):
        PairingAnswer.read(answer, others, KEYS.desktop)


@pytest.mark.parametrize(
    "answer",
    [
        PairingAnswer(HOME.public, "desk").statement(said(), KEYS.device, HOME),
        PairingAnswer(HOME.public, "desk").statement(said(), KEYS.desktop, PHONE),
        said(KEYS.desktop),
        Statement("{}", "", ""),
        Statement("\ud800", "A", "é"),
    ],
    ids=["own proof sent back", "not the household's key", "no answer", "nothing", "junk"],
)
def test_no_other_answer_is_believed(answer: Statement) -> None:
    with pytest.raises(PairingRefused) as caught:
        PairingAnswer.read(answer, said(), KEYS.desktop)
    assert caught.value.code == "not_the_desktop"
