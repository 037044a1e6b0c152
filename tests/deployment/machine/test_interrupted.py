"""deploy_vps.sh killed in the middle, for real, and run again. In this order.

A few moments of each command; ../test_interrupted_switch.py kills the switch at every step, with a played service.
"""

import pytest
from support.container import Container
from support.vps_machine import BOOTED, BUILD_S, INSTALL, SCRIPT, ask, history

pytestmark = BOOTED

KILLER = """set -o functrace
trap 'case $BASH_COMMAND in "$KILL_BEFORE"*) kill -KILL $$ ;; esac' DEBUG
"""


def killed(vps: Container, command: str, before: str) -> None:
    """Runs it until a command of the script begins with `before`."""
    (vps.root / "root/killer").write_text(KILLER)
    done = vps.run(f"BASH_ENV=/root/killer KILL_BEFORE='{before}' {command}", BUILD_S)
    assert done.returncode in (-9, 137), done.stdout + done.stderr


def current(vps: Container) -> str:
    return vps.output("readlink /opt/orchestrator/current")


def nothing_is_left(vps: Container) -> None:
    assert (
        vps.run(
            "ls -d /var/lib/orchestrator.before-* /opt/orchestrator/switch /opt/orchestrator/aside"
        ).stdout
        == ""
    )


@pytest.mark.parametrize(
    ("port", "before"),
    [
        (8102, "mv -T"),
        (8103, 'mv "$CONFIG/deployment.env.new"'),
        (8104, "systemctl start"),
        (8105, "nginx -t"),
    ],
)
def test_an_upgrade(vps, remembered, port, before):
    """Of the settings: no release has to be built."""
    command = f"{INSTALL} --port 443 --app-port {port}"
    killed(vps, command, before)
    vps.output(command, BUILD_S)
    assert remembered in history(vps)
    assert ask(vps, "Are you well?")["response"]
    nothing_is_left(vps)


@pytest.mark.parametrize("before", ["start_service", "install_site"])
def test_a_rollback(vps, remembered, before):
    releases = vps.output("readlink /opt/orchestrator/current /opt/orchestrator/previous").split()
    killed(vps, f"{SCRIPT} --rollback --yes", before)
    vps.output(f"{SCRIPT} --rollback --yes")
    assert vps.output("readlink /opt/orchestrator/previous /opt/orchestrator/current").split() == releases
    assert remembered in history(vps)
    nothing_is_left(vps)


def test_an_uninstallation(vps, remembered):
    killed(vps, f"{SCRIPT} --uninstall --yes", "remove_site")
    killed(vps, f"{SCRIPT} --uninstall --yes", "rm -rf /usr/local/bin/orchestrator-vps")
    vps.output(f"{SCRIPT} --uninstall --yes")
    assert vps.run("ls -d /opt/orchestrator /etc/nginx/*/orchestrator*").stdout == ""
    vps.output(INSTALL, BUILD_S)
    assert remembered in history(vps)
