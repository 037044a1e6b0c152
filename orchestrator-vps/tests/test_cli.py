"""`orchestrator vps …` on the VPS's side, as a person uses it."""

import json
import re
import subprocess
import sys

import pytest
from orchestrator_vps.cli import COMMANDS
from orchestrator_vps.credentials import Credentials
from support.command_line import fresh_user, orchestrator


@pytest.fixture
def user(tmp_path):
    return fresh_user(tmp_path)


@pytest.fixture
def enrolled(tmp_path):
    with Credentials(tmp_path / "data") as credentials:
        return credentials.enroll(credentials.new_code(), "home", "r1", "refuse")


def test_a_code_is_all_that_is_printed(user):
    done = orchestrator(user, "vps", "code")
    assert done.returncode == 0 and re.fullmatch(r"(\w{4}-){2}\w{4}\n", done.stdout)


def test_the_list_tells_who_may_connect(user, enrolled):
    desktop, credential = enrolled
    done = orchestrator(user, "vps", "desktops")
    assert desktop.desktop_id in done.stdout and "home" in done.stdout and "last seen never" in done.stdout
    said = json.loads(orchestrator(user, "vps", "desktops", "--json").stdout)
    assert said[0]["role"] == "source" and credential not in str(said)


def test_without_desktops_the_list_says_what_to_do(user):
    done = orchestrator(user, "vps", "desktops")
    assert done.returncode == 0 and done.stdout == "" and "vps code" in done.stderr
    assert json.loads(orchestrator(user, "vps", "desktops", "--json").stdout) == []


def test_revoking(user, enrolled):
    desktop, _ = enrolled
    assert orchestrator(user, "vps", "revoke", desktop.desktop_id).returncode == 0
    assert "revoked 20" in orchestrator(user, "vps", "desktops").stdout
    done = orchestrator(user, "vps", "revoke", "nobody")
    assert done.returncode == 1 and "nobody" in done.stderr and "Traceback" not in done.stderr


def test_a_list_that_cannot_be_used_is_told(user, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "relay.db").write_bytes(b"no database" * 100)
    done = orchestrator(user, "vps", "code")
    assert done.returncode == 1 and "relay.db" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(user, name):
    done = orchestrator(user, "vps", name, "--help")
    assert done.returncode == 0 and "--data" in done.stdout
    assert COMMANDS[name][1] in orchestrator(user, "vps", "--help").stdout


def test_a_missing_package_is_named_with_the_command_that_brings_it(tmp_path):
    code = (
        "import sys; sys.modules['gunicorn'] = None\n"
        "from ai_orchestrator.cli import main; sys.argv[1:] = ['vps', 'serve', '--data', sys.argv[1]]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3
    assert "orchestrator install vps`" in done.stderr and "Traceback" not in done.stderr
