"""Uninstalling: the data stays unless it is given up. In this order."""

from support.vps_machine import BOOTED, BUILD_S, INSTALL, SCRIPT, history

pytestmark = BOOTED


def test_uninstalling_keeps_the_data_unless_told_otherwise(vps, remembered):
    vps.output(f"{SCRIPT} --uninstall --yes")
    assert vps.run("systemctl cat orchestrator-vps").returncode != 0
    assert vps.run("test -e /opt/orchestrator -o -e /usr/local/bin/orchestrator-vps").returncode == 1
    assert vps.run("ls /etc/nginx/*/orchestrator* /etc/logrotate.d/orchestrator*").stdout == ""
    vps.output("systemctl is-active nginx && nginx -t")
    query = "SELECT content FROM messages"
    kept = f'python3 -c \'import sqlite3; print(*sqlite3.connect("/var/lib/orchestrator/memory.db").execute("{query}"))\''
    assert remembered in vps.output(kept)


def test_installing_again_finds_the_old_memory(vps, remembered):
    vps.output(f"{INSTALL} --port 443 --backups /var/backups/orchestrator", BUILD_S)
    assert remembered in history(vps)


def test_uninstalling_with_its_data_leaves_nothing(vps):
    vps.output("mkdir /var/lib/orchestrator.before-restore-20260101-000000 /var/lib/orchestrator-backups")
    vps.output(f"{SCRIPT} --uninstall --yes --delete-data")
    left = vps.output("find / -xdev -path /proc -prune -o -path /root -prune -o -path /var/log/journal -prune "
                      "-o -iname '*orchestrator*' -print")  # fmt: skip
    assert left == ""
    assert vps.run("id orchestrator").returncode != 0
