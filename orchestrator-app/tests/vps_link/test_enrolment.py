"""Enrolling with a VPS: where a code and a credential may go, and where not."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from ai_orchestrator.vps_link import enrolment
from ai_orchestrator.vps_link.credentials import VpsCredential
from orchestrator_core.errors import Forbidden, InvalidRequest, TierLost, TierUnreachable
from orchestrator_relay.identity.pinning import fingerprint
from support.played_vps import CODE, CREDENTIAL, PlayedVps, self_signed
from support.ports import nobody_listens

WHO = {"name": "study", "replica": "replica-1"}


def test_a_pinned_certificate_by_its_fingerprint(tmp_path: Path) -> None:
    made = self_signed(tmp_path)
    with PlayedVps(certificate=made) as vps:
        got = enrolment.enroll(vps.url, CODE, fingerprint=fingerprint(made.pem), **WHO)
        assert (got.url, got.desktop_id, got.credential) == (vps.url, "d1", CREDENTIAL)
        assert fingerprint(got.certificate or "") == fingerprint(made.pem)
        assert vps.enrolled == [{"code": CODE, **WHO}]
        enrolment.leave(got)
        assert vps.revoked
        enrolment.leave(got)


def test_another_certificate_gets_no_code(tmp_path: Path) -> None:
    other = self_signed(tmp_path, "other")
    with PlayedVps(certificate=self_signed(tmp_path)) as vps:
        with pytest.raises(Forbidden, match="another fingerprint") as caught:
            enrolment.enroll(vps.url, CODE, fingerprint=fingerprint(other.pem), **WHO)
        assert caught.value.code == "wrong_fingerprint"
        assert vps.enrolled == []


def test_a_certificate_that_was_changed_is_compared_again_and_the_enrolment_stays(tmp_path: Path) -> None:
    before, changed = self_signed(tmp_path), self_signed(tmp_path, "changed")
    with PlayedVps(certificate=before) as vps:
        got = enrolment.enroll(vps.url, CODE, fingerprint=fingerprint(before.pem), **WHO)
    with PlayedVps(certificate=changed) as vps:
        moved = replace(got, url=vps.url)
        for wrong in ({"fingerprint": fingerprint(before.pem)}, {}):
            with pytest.raises(Forbidden):
                enrolment.trust(moved, **wrong)
        trusted = enrolment.trust(moved, fingerprint=fingerprint(changed.pem))
        assert fingerprint(trusted.certificate or "") == fingerprint(changed.pem)
        assert replace(trusted, certificate=None) == replace(moved, certificate=None)
        enrolment.leave(trusted)
        assert vps.revoked


def test_a_vps_that_does_not_know_this_desktop_can_be_left() -> None:
    with PlayedVps() as vps:
        enrolment.leave(VpsCredential(vps.url, "d1", "of a VPS that has lost its data"))
        assert not vps.revoked


def test_a_person_is_asked_about_an_unknown_certificate(tmp_path: Path) -> None:
    made = self_signed(tmp_path)
    asked: list[str] = []

    def confirm(shown: str) -> bool:
        asked.append(shown)
        return len(asked) > 1

    with PlayedVps(certificate=made) as vps:
        with pytest.raises(Forbidden, match="not confirmed"):
            enrolment.enroll(vps.url, CODE, confirm=confirm, **WHO)
        assert vps.enrolled == []
        got = enrolment.enroll(vps.url, CODE, confirm=confirm, **WHO)
        assert got.certificate is not None
        assert asked == [fingerprint(made.pem)] * 2


def test_the_refusal_of_the_vps_is_told() -> None:
    with PlayedVps() as vps, pytest.raises(Forbidden, match="no such code") as caught:
        enrolment.enroll(vps.url, "WRONG", insecure=True, **WHO)
    assert caught.value.code == "wrong_code"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("vps.example.org", "https://vps.example.org"),
        ("https://vps.example.org/", "https://vps.example.org"),
        (" https://[2001:db8::1]:8443/assistant/ ", "https://[2001:db8::1]:8443/assistant"),
    ],
)
def test_addresses(url: str, expected: str) -> None:
    assert enrolment.normal_url(url) == expected


@pytest.mark.parametrize(
    "url", ["", "https://", "ftp://x", "https://x/?a=b", "https://user:secret@x", "https://x:0", "https://x:99999999", "https://[::1"]
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(InvalidRequest, match="no address") as caught:
        enrolment.normal_url(url)
    assert "secret" not in str(caught.value)


def test_plain_http_only_when_asked_for_and_only_on_private_networks() -> None:
    with pytest.raises(InvalidRequest, match="plain HTTP"):
        enrolment.normal_url("http://127.0.0.1:8001")
    for url in ("http://127.0.0.1:8001", "http://localhost", "http://10.1.2.3", "http://[fd00::1]:80"):
        assert enrolment.normal_url(url, insecure=True) == url
    with pytest.raises(InvalidRequest, match="not on a private network"):
        enrolment.normal_url("http://8.8.8.8", insecure=True)


def test_nobody_there_and_somebody_else() -> None:
    with nobody_listens() as port:
        with pytest.raises(TierUnreachable) as caught:
            enrolment.enroll(f"http://127.0.0.1:{port}", CODE, insecure=True, **WHO)
        assert not isinstance(caught.value, TierLost)
        with pytest.raises(TierUnreachable, match="no TLS server"):
            enrolment.enroll(f"https://127.0.0.1:{port}", CODE, **WHO)
    with PlayedVps() as vps:
        with pytest.raises(TierUnreachable, match="no VPS"):
            enrolment.leave(VpsCredential(f"{vps.url}/elsewhere", "d", CREDENTIAL))
        with pytest.raises(TierUnreachable, match="no TLS server"):
            enrolment.enroll(vps.url.replace("http:", "https:"), CODE, **WHO)


def test_a_code_that_may_have_been_used_up_is_said() -> None:
    """It was sent, and no answer came."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(TierLost) as caught:
            enrolment.enroll(f"http://127.0.0.1:{port}", CODE, insecure=True, timeout_s=0.2, **WHO)
    assert "new code" in (caught.value.hint or "")
