"""Codes that enrol once, within the hour; credentials that are kept as hashes; roles."""

import sqlite3
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.errors import Conflict, Forbidden, NotFound
from orchestrator_relay.identity import typed_code
from orchestrator_vps import codes
from orchestrator_vps.credentials import Credentials


@pytest.fixture
def credentials(tmp_path):
    with Credentials(tmp_path / "data") as found:
        yield found


def enroll(credentials, replica="r1", extra="refuse", code=None):
    return credentials.enroll(code or credentials.new_code(), "home", replica, extra)


def refused(credentials, code, because):
    with pytest.raises(Forbidden) as caught:
        credentials.enroll(code, "home", "r9", "serve")
    assert caught.value.code == because and code not in str(caught.value)


def test_a_code_enrols_one_desktop(credentials):
    code = credentials.new_code()
    desktop, credential = enroll(credentials, code=code)
    assert credentials.find(credential) == desktop and desktop.role == "source"
    refused(credentials, code, "used_code")


def test_an_expired_code_is_refused(credentials):
    refused(credentials, credentials.new_code(valid_minutes=-1), "expired_code")


def test_a_wrong_code_is_refused(credentials):
    credentials.new_code()
    refused(credentials, codes.new_code(), "wrong_code")
    refused(credentials, "-", "wrong_code")


def test_codes_are_bounded_the_oldest_gives_way(credentials):
    made = [credentials.new_code() for _ in range(codes.MAX_LIVE + 1)]
    refused(credentials, made[0], "wrong_code")
    enroll(credentials, code=made[1])


@given(st.randoms())
def test_how_a_code_is_typed_does_not_matter(random):
    code = codes.new_code()
    typed = "".join(
        random.choice([letter, letter.lower(), {"0": "o", "1": "l"}.get(letter, letter), f" {letter}"])
        for letter in code.replace("-", random.choice(["", " ", "-", "--"]))
    )
    assert codes.digest(typed) == codes.digest(code)


def test_a_code_has_sixty_random_bits():
    code = codes.new_code().replace("-", "")
    assert len(code) * 5 == 60 and set(code) <= set(typed_code.ALPHABET) and len(typed_code.ALPHABET) == 32
    assert len({codes.new_code() for _ in range(200)}) == 200


def test_neither_codes_nor_credentials_are_in_the_file(credentials, tmp_path):
    code = credentials.new_code()
    _, credential = enroll(credentials, code=code)
    content = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("relay.db*"))
    assert b"home" in content
    assert code.encode() not in content and credential.encode() not in content


def test_only_its_owner_can_look_into_the_folder(credentials, tmp_path):
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_two_that_come_at_once_with_one_code_do_not_both_get_in(credentials):
    code, outcomes = credentials.new_code(), []

    def try_it(number):
        try:
            outcomes.append(enroll(credentials, replica=f"r{number}", extra="serve", code=code))
        except Forbidden:
            outcomes.append(None)

    threads = [threading.Thread(target=try_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(outcomes) == 8 and sum(outcome is not None for outcome in outcomes) == 1


def test_a_second_desktop_is_refused_and_its_code_stays_good(credentials):
    enroll(credentials)
    code = credentials.new_code()
    with pytest.raises(Conflict, match="'home' is the source of truth"):
        enroll(credentials, replica="r2", code=code)
    extra, _ = enroll(credentials, replica="r2", code=code, extra="serve")
    assert extra.role == "extra"


def test_the_same_memory_takes_the_place_of_its_former_enrolment(credentials):
    former, old = enroll(credentials)
    again, new = enroll(credentials)
    assert again.role == "source" and again.desktop_id != former.desktop_id
    assert credentials.find(old) is None and credentials.was_revoked(old)
    assert credentials.find(new) == again


def test_after_the_source_was_revoked_another_one_becomes_it(credentials):
    former, credential = enroll(credentials)
    credentials.revoke(former.desktop_id)
    assert credentials.find(credential) is None
    assert enroll(credentials, replica="r2")[0].role == "source"


def test_revoking_twice_changes_nothing(credentials):
    desktop, _ = enroll(credentials)
    first = credentials.revoke(desktop.desktop_id)
    assert credentials.revoke(desktop.desktop_id) == first
    with pytest.raises(NotFound):
        credentials.revoke("nobody")


def test_another_process_sees_it_at_once(credentials, tmp_path):
    desktop, credential = enroll(credentials)
    with Credentials(tmp_path / "data") as beside:
        beside.revoke(desktop.desktop_id)
    assert credentials.find(credential) is None


def test_a_credential_of_the_future_is_not_guessed_from_its_prefix(credentials):
    _, credential = enroll(credentials)
    for wrong in ("", credential[:-1], credential + "x", credential.swapcase(), "\udcff"):
        assert credentials.find(wrong) is None


def test_the_list_keeps_the_order(credentials, tmp_path):
    ids = [enroll(credentials, replica=f"r{n}", extra="serve")[0].desktop_id for n in range(3)]
    credentials.seen(ids[1])
    assert [one.desktop_id for one in credentials.desktops()] == ids
    assert [bool(one.seen_at) for one in credentials.desktops()] == [False, True, False]
    with sqlite3.connect(tmp_path / "data" / "relay.db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()
