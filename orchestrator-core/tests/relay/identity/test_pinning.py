"""Exactly one certificate is believed, by `requests` and by the relay's own dialling."""

from pathlib import Path

import pytest
import requests
from orchestrator_relay.dial import dial
from orchestrator_relay.errors import DialFailed, InvalidFingerprint
from orchestrator_relay.identity.pinning import (
    certificate_of,
    context_for,
    fingerprint,
    same_fingerprint,
    session_for,
)
from support.played_vps import CREDENTIAL, PlayedVps, self_signed


def test_the_pinned_certificate_is_trusted_and_no_other(tmp_path: Path) -> None:
    own, other = self_signed(tmp_path), self_signed(tmp_path, "other")
    with PlayedVps(certificate=own) as vps:
        headers = {"Authorization": f"Bearer {CREDENTIAL}"}
        with session_for(own.pem, CREDENTIAL) as session:
            assert session.delete(f"{vps.url}/desktops/self", timeout=10).status_code == 200
        with session_for(other.pem) as session, pytest.raises(requests.exceptions.SSLError):
            session.get(vps.url, timeout=10)
        with session_for(None) as session, pytest.raises(requests.exceptions.SSLError):
            session.get(vps.url, timeout=10)
        vps.revoked = False
        socket = dial(vps.url, headers=headers, context=context_for(own.pem))
        socket.release()
        with pytest.raises(DialFailed, match="certificate is not trusted"):
            dial(vps.url, headers=headers, context=context_for(other.pem))
        with pytest.raises(DialFailed, match="certificate is not trusted"):
            dial(vps.url, headers=headers, context=context_for(None))


def test_two_pins_do_not_share_a_connection(tmp_path: Path) -> None:
    own, other = self_signed(tmp_path), self_signed(tmp_path, "other")
    with PlayedVps(certificate=own) as vps, session_for(own.pem) as session:
        assert session.get(f"{vps.url}/sync", timeout=10).status_code == 401
        with session_for(other.pem) as second, pytest.raises(requests.exceptions.SSLError):
            second.get(f"{vps.url}/sync", timeout=10)


def test_the_fingerprint_is_the_one_that_openssl_prints(tmp_path: Path) -> None:
    import subprocess

    made = self_signed(tmp_path)
    printed = subprocess.run(
        ["openssl", "x509", "-in", str(made.certificate), "-noout", "-fingerprint", "-sha256"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    shown = fingerprint(made.pem)
    assert printed.endswith(shown)
    plain = shown.replace(":", "").lower()
    for spelling in (printed, shown, plain, f"sha256:{plain}", f" {shown.lower()} "):
        assert same_fingerprint(made.pem, spelling)
    assert not same_fingerprint(made.pem, fingerprint(self_signed(tmp_path, "other").pem))


@pytest.mark.parametrize("given", ["", "AB:CD", "g" * 64, "a" * 65])
def test_what_is_no_fingerprint_is_said(tmp_path: Path, given: str) -> None:
    with pytest.raises(InvalidFingerprint, match="no SHA-256 fingerprint"):
        same_fingerprint(self_signed(tmp_path).pem, given)


def test_shows_a_servers_certificate(tmp_path: Path) -> None:
    made = self_signed(tmp_path)
    with PlayedVps(certificate=made) as vps:
        shown = certificate_of("127.0.0.1", int(vps.url.rpartition(":")[2]))
    assert fingerprint(shown) == fingerprint(made.pem)


def test_the_key_is_in_no_repr() -> None:
    with session_for(None, "secret-key") as session:
        assert "secret-key" not in repr(session)
