"""The service over time: restarted, killed, hanging, stopped."""

import json

from support.vps_machine import BOOTED, ask, curl, history, status_of

pytestmark = BOOTED


def test_a_restart_forgets_nothing(vps, remembered):
    before = history(vps)
    assert remembered in before
    vps.output("systemctl restart orchestrator-vps")
    assert history(vps) == before
    assert ask(vps, "Still there?")["response"]


def test_systemd_starts_a_killed_server_again(vps, remembered):
    pid = vps.output("systemctl show -P MainPID orchestrator-vps")
    vps.output(f"kill -KILL {pid}")
    refusal_or_answer = status_of(vps, "/health")
    assert refusal_or_answer in (200, 503)
    vps.output(
        "until systemctl is-active -q orchestrator-vps "
        f'&& [ "$(systemctl show -P MainPID orchestrator-vps)" != {pid} ]; do sleep 0.2; done'
    )
    assert remembered in history(vps)


def test_a_server_that_hangs_is_replaced(vps):
    pid = vps.output("systemctl show -P MainPID orchestrator-vps")
    vps.output("mkdir -p /run/systemd/system/orchestrator-vps.service.d && printf '[Service]\\nWatchdogSec=3\\n' "
               "> /run/systemd/system/orchestrator-vps.service.d/quick.conf && systemctl daemon-reload && "
               "systemctl restart orchestrator-vps")  # fmt: skip
    pid = vps.output("systemctl show -P MainPID orchestrator-vps")
    vps.output(f"kill -STOP {pid}")
    vps.output(
        f'until [ "$(systemctl show -P MainPID orchestrator-vps)" != {pid} ] '
        "&& systemctl is-active -q orchestrator-vps; do sleep 0.5; done"
    )
    assert "watchdog" in vps.output("journalctl -u orchestrator-vps --no-pager -o cat").lower()
    vps.output("rm -r /run/systemd/system/orchestrator-vps.service.d && systemctl daemon-reload")


def test_while_the_server_is_away_nginx_says_so_in_the_api_s_words(vps):
    vps.output("systemctl stop orchestrator-vps")
    refusal = json.loads(curl(vps, "/info"))
    assert refusal["error"]["code"] == "backend_unreachable"
    assert status_of(vps, "/info") == 503
    vps.output("systemctl start orchestrator-vps")
