"""`orchestrator vps enroll`, `status` and `leave`, with a server that runs and without one."""

import json
from pathlib import Path

import pytest
from ai_orchestrator.vps_link import credentials
from ai_orchestrator.vps_link.credentials import VpsCredential
from orchestrator_relay.identity.pinning import fingerprint
from support.command_line import fresh_user, orchestrator, serving
from support.played_vps import CODE, CREDENTIAL, PlayedVps, self_signed
from support.relay_ends import get
from support.waiting import wait_until

CREDENTIAL_FILE = "vps.json"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return fresh_user(tmp_path)


@pytest.fixture
def data(env: dict[str, str]) -> Path:
    return Path(env["ORCHESTRATOR_DATA"])


def test_lists_the_commands_of_both_sides(env: dict[str, str]) -> None:
    said = orchestrator(env, "vps", "--help").stdout
    for name in ("enroll", "status", "leave", "serve", "code", "desktops", "revoke"):
        assert f"\n  {name} " in said


def test_says_when_there_is_no_enrolment(env: dict[str, str]) -> None:
    for command in ("status", "leave"):
        done = orchestrator(env, "vps", command)
        assert done.returncode == 1 and "Not enrolled" in done.stderr
    done = orchestrator(env, "vps", "status", "--json")
    assert json.loads(done.stdout) == {"enrolled": False}


def test_needs_a_certificate_that_somebody_compared(env: dict[str, str], data: Path, tmp_path: Path) -> None:
    made = self_signed(tmp_path)
    with PlayedVps(certificate=made) as vps:
        done = orchestrator(env, "vps", "enroll", vps.url, CODE)
        assert done.returncode == 1
        assert fingerprint(made.pem) in done.stderr and "--fingerprint" in done.stderr
        assert vps.enrolled == [] and not (data / CREDENTIAL_FILE).exists()
        done = orchestrator(env, "vps", "enroll", vps.url, CODE, "--fingerprint", fingerprint(made.pem))
        assert done.returncode == 0, done.stderr
        assert CREDENTIAL not in done.stdout + done.stderr
        assert (data / CREDENTIAL_FILE).stat().st_mode & 0o777 == 0o600
        shown = json.loads(orchestrator(env, "vps", "status", "--json").stdout)
        assert shown["certificate"] == fingerprint(made.pem)
        assert (shown["link"], shown["why"]) == ("off", "no server runs here")


def test_plain_http_is_for_tests(env: dict[str, str]) -> None:
    with PlayedVps() as vps:
        done = orchestrator(env, "vps", "enroll", vps.url, CODE)
    assert done.returncode == 2 and "--insecure" in done.stderr


def test_leaving_needs_the_vps_or_force(env: dict[str, str], data: Path) -> None:
    with PlayedVps() as vps:
        orchestrator(env, "vps", "enroll", vps.url, CODE, "--insecure")
    done = orchestrator(env, "vps", "leave")
    assert done.returncode == 4 and "--force" in done.stderr
    assert (data / CREDENTIAL_FILE).exists()
    done = orchestrator(env, "vps", "leave", "--force")
    assert done.returncode == 0 and "revoke d1" in done.stderr
    assert not (data / CREDENTIAL_FILE).exists()


def test_a_broken_file_can_be_left(env: dict[str, str], data: Path) -> None:
    data.mkdir()
    (data / CREDENTIAL_FILE).write_text("{")
    done = orchestrator(env, "vps", "leave")
    assert done.returncode == 3 and "cannot be used" in done.stderr
    assert orchestrator(env, "vps", "leave", "--force").returncode == 0
    assert not (data / CREDENTIAL_FILE).exists()


@pytest.mark.slow
def test_a_changed_certificate_is_told_and_mended_with_one_command(
    env: dict[str, str], data: Path, tmp_path: Path
) -> None:
    before, changed = self_signed(tmp_path), self_signed(tmp_path, "changed")
    with PlayedVps(certificate=changed) as vps, serving(env):
        credentials.write(data, VpsCredential(vps.url, "d1", CREDENTIAL, before.pem, enrolled_at="now"))
        wait_until(lambda: "vps trust" in orchestrator(env, "vps", "status").stdout)
        done = orchestrator(env, "vps", "trust", "--fingerprint", fingerprint(changed.pem))
        assert done.returncode == 0, done.stderr
        vps.connections.get(timeout=20)
        wait_until(lambda: "vps trust" not in orchestrator(env, "vps", "status").stdout)


def test_a_running_server_connects_and_leaves(env: dict[str, str], data: Path) -> None:
    with PlayedVps() as vps, serving(env):
        done = orchestrator(env, "vps", "enroll", vps.url, CODE, "--insecure", "--name", "study")
        assert done.returncode == 0 and vps.enrolled[0]["name"] == "study"
        hello, connection = vps.connections.get(timeout=20)
        assert hello.replica == vps.enrolled[0]["replica"] != ""
        answer = connection.open(get("/conversation"))
        assert json.loads(b"".join(answer.chunks()))["history"] == []
        shown = json.loads(orchestrator(env, "vps", "status", "--json").stdout)
        assert (shown["link"], shown["url"]) == ("connected", vps.url)
        assert orchestrator(env, "vps", "leave").returncode == 0
        assert connection.wait(20) is not None
    logged = (data / "orchestrator.log").read_text()
    assert "Connected to the VPS" in logged and CREDENTIAL not in logged


@pytest.mark.slow
def test_a_server_that_starts_later_connects_by_itself(env: dict[str, str]) -> None:
    with PlayedVps() as vps:
        orchestrator(env, "vps", "enroll", vps.url, CODE, "--insecure")
        with serving(env):
            connection = vps.connection()
            assert connection.ping(20)
        ending = connection.wait(20)
        assert ending is not None and ending.code == "stopping"
