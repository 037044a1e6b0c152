"""Nightly backups by a timer, and options that are taken back. In this order."""

from support.vps_machine import BOOTED, BUILD_S, INSTALL

pytestmark = BOOTED

FOLDER = "/var/backups/orchestrator"


def test_a_timer_backs_up_and_keeps_the_newest(vps, remembered):
    vps.output(f"{INSTALL} --backups {FOLDER} --keep-backups 2", BUILD_S)
    assert "orchestrator-vps-backup" in vps.output("systemctl list-timers --all --no-pager")
    for _ in range(3):
        vps.output("systemctl start orchestrator-vps-backup && sleep 1.1")
    archives = vps.output(f"ls {FOLDER}/*.tar*").split()
    assert len(archives) == 2
    assert vps.output(f"stat -c '%U %a' {FOLDER} {archives[0]}").splitlines() == [
        "orchestrator 700",
        "orchestrator 600",
    ]
    vps.output(
        f"runuser -u orchestrator -- /opt/orchestrator/current/venv/bin/orchestrator restore --check {archives[1]}"
    )


def test_an_option_is_taken_back_with_an_empty_value(vps):
    """And an enrolled desktop, which pins the certificate, is not cut off in passing."""
    certificate = "openssl x509 -in /etc/orchestrator/tls/certificate.pem -noout -text"
    done = vps.run(f"{INSTALL} --backups '' --address vps.internal", BUILD_S)
    assert vps.run("systemctl cat orchestrator-vps-backup.timer").returncode != 0
    assert "--new-certificate" in done.stderr and "DNS:vps.internal" not in vps.output(certificate)
    vps.output(f"{INSTALL} --new-certificate", BUILD_S)
    assert "DNS:vps.internal" in vps.output(certificate)
    vps.output(f"{INSTALL} --address '' --new-certificate", BUILD_S)
    assert "DEPLOY_ADDRESS=\n" in vps.output("cat /etc/orchestrator/deployment.env") + "\n"
    vps.output(f"test -d {FOLDER}")
