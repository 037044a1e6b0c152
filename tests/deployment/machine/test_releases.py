"""Releases: upgrades, upgrades that fail, the way back, other options. In this order."""

import json

from support.container import Container
from support.source_copy import copy_source
from support.vps_machine import BOOTED, BUILD_S, CERTIFICATE, INSTALL, SCRIPT, ask, curl, history

pytestmark = BOOTED


def version(vps: Container) -> str:
    return json.loads(curl(vps, "/info"))["version"]


def set_version(vps: Container, number: str) -> None:
    vps.output(f"sed -i 's/^version = .*/version = \"{number}\"/' /root/orchestrator/pyproject.toml")


def test_an_upgrade_keeps_the_memory_and_the_certificate(vps, remembered):
    before, certificate = history(vps), vps.output(f"sha256sum {CERTIFICATE}")
    assert remembered in before
    set_version(vps, "7.0.0")
    vps.output(INSTALL, BUILD_S)
    assert version(vps) == "7.0.0"
    assert history(vps) == before
    assert vps.output(f"sha256sum {CERTIFICATE}") == certificate
    assert vps.run("test -e /var/lib/orchestrator.before-upgrade").returncode == 1


def test_an_upgrade_that_does_not_start_is_undone(vps):
    before = history(vps)
    set_version(vps, "8.0.0")
    vps.output(
        "echo 'raise RuntimeError(\"broken on purpose\")' >> /root/orchestrator/orchestrator-vps/orchestrator_vps/app.py"
    )
    done = vps.run(INSTALL, BUILD_S)
    assert done.returncode == 1
    assert "broken on purpose" in done.stderr
    assert "The upgrade failed and was undone" in done.stderr
    assert version(vps) == "7.0.0"
    assert history(vps) == before
    assert ask(vps, "Are you well?")["response"]


def test_an_upgrade_that_changed_the_database_and_then_failed_is_undone(vps):
    """The release before refuses a database from the future: it gets back what it had."""
    before = history(vps)
    vps.output(
        "cat >> /root/orchestrator/shared-context/shared_context/conversations/migrations.py <<'END'\n"
        "def _tomorrow(connection: sqlite3.Connection) -> None:\n"
        "    connection.execute('CREATE TABLE tomorrow (day TEXT)')\n"
        "_tomorrow.__name__ = f'm{len(MIGRATIONS) + 1:03}_tomorrow'\n"
        "MIGRATIONS = (*MIGRATIONS, _tomorrow)\nEND"
    )
    # It starts, opens the data, and then cannot answer.
    vps.output("cd /root/orchestrator/orchestrator-vps/orchestrator_vps && sed -i '/broken on purpose/d' app.py && "
               "sed -i 's/^    services.model.start()/    raise RuntimeError(\"broken later\")/' app.py && "
               "grep -q 'broken later' app.py")  # fmt: skip
    done = vps.run(INSTALL, BUILD_S)
    assert done.returncode == 1
    assert "as the newer release left it" in done.stderr
    assert version(vps) == "7.0.0"
    assert history(vps) == before
    assert vps.output("ls -d /var/lib/orchestrator.failed-*")


def test_rollback_returns_to_the_release_before(vps):
    before = history(vps)
    vps.output(f"{SCRIPT} --rollback --yes")
    assert version(vps) == "0.1.0"
    assert history(vps) == before
    vps.output(f"{SCRIPT} --rollback --yes")
    assert version(vps) == "7.0.0"


def test_only_two_releases_are_kept(vps):
    assert len(vps.output("ls /opt/orchestrator/releases").split()) == 2


def test_another_port_and_model_are_taken_over(vps):
    copy_source(vps.root / "root/orchestrator-again")
    builtin = "/root/orchestrator-again/fine-tuning/builtin/orchestrator-tiny.gguf"
    vps.output("rm -rf /root/orchestrator && mv /root/orchestrator-again /root/orchestrator")
    builtin = builtin.replace("-again", "")
    total = vps.output(f"sha256sum {builtin} | cut -d' ' -f1")
    said = vps.output(f"{INSTALL} --port 8443 --model {builtin} --sha256 {total}", BUILD_S)
    assert "https://127.0.0.1:8443" in said
    assert json.loads(curl(vps, "/info", base="https://127.0.0.1:8443"))["version"] == "0.1.0"
    assert "/var/lib/orchestrator/models/orchestrator-tiny.gguf" in said
    redirect = curl(vps, "/", "--head", base="http://127.0.0.1", key=False)
    assert "Location: https://127.0.0.1:8443/" in redirect
    assert "nothing to restart" in vps.output(INSTALL, BUILD_S)


def test_a_program_on_the_port_is_named(vps):
    vps.output("systemd-run --unit=squatter python3 -m http.server 9443 && "
               "until curl -s -o /dev/null http://127.0.0.1:9443; do sleep 0.2; done")  # fmt: skip
    done = vps.run(f"{INSTALL} --port 9443")
    assert done.returncode == 1
    assert "Port 9443 is taken by python3" in done.stderr
    vps.output("systemctl stop squatter")
