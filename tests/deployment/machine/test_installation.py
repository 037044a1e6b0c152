"""The first run of deploy_vps.sh: it answers, is closed to others, and a second run changes nothing."""

import json
import re

from support.vps_machine import BOOTED, BUILD_S, CERTIFICATE, INSTALL, ask, post

pytestmark = BOOTED


def test_a_question_is_answered_through_nginx(vps):
    answer = ask(vps, "What is the four-tier handoff system?")
    assert answer["response"].strip()
    assert answer["tier"] == "vps"
    assert answer["usage"]["completion_tokens"] > 0


def test_the_raw_route_of_the_first_description(vps):
    answer = json.loads(post(vps, "/generate", {"prompt": "[INST] Hello [/INST]", "max_tokens": 4}))
    assert answer["response"]


def test_the_report_names_what_the_owner_needs(vps):
    fingerprint = vps.output(f"openssl x509 -in {CERTIFICATE} -noout -fingerprint -sha256 | cut -d= -f2")
    command = rf"orchestrator vps enroll https://127\.0\.0\.1 [0-9A-Z-]+ --fingerprint {fingerprint}"
    assert re.search(command, vps.report)
    assert "/etc/orchestrator/secrets.env" in vps.report
    secret = vps.output("cut -d= -f2 /etc/orchestrator/secrets.env")
    assert len(secret) > 40
    assert secret not in vps.report


def test_the_printed_command_enrols_a_desktop(vps):
    (command,) = re.findall(r"orchestrator (vps enroll .*)", vps.report)
    vps.output(f"/opt/orchestrator/current/venv/bin/orchestrator {command} --data /tmp/desktop")
    assert "source" in vps.output("orchestrator-vps desktops")
    assert "a desktop is enrolled" in vps.output(INSTALL, BUILD_S)


def test_only_root_and_the_service_read_settings_and_secrets(vps):
    modes = vps.output(
        "stat -c '%n %a %U:%G' /etc/orchestrator /etc/orchestrator/* /etc/orchestrator/tls/* /var/lib/orchestrator"
    )
    assert set(modes.splitlines()) == {
        "/etc/orchestrator 750 root:orchestrator",
        "/etc/orchestrator/deployment.env 640 root:orchestrator",
        "/etc/orchestrator/secrets.env 600 root:root",
        "/etc/orchestrator/tls 700 root:root",
        "/etc/orchestrator/tls/certificate.pem 600 root:root",
        "/etc/orchestrator/tls/key.pem 600 root:root",
        "/etc/orchestrator/vps.yaml 640 root:orchestrator",
        "/var/lib/orchestrator 750 orchestrator:orchestrator",
    }
    assert vps.output("find /var/lib/orchestrator ! -user orchestrator") == ""
    assert vps.output("find /opt/orchestrator ! -user root -o -perm /o+w ! -type l") == ""


def test_the_key_is_in_no_log_and_no_command_line(vps):
    secret = vps.output("cut -d= -f2 /etc/orchestrator/secrets.env")
    everything = vps.output(
        "journalctl --no-pager; cat /var/log/nginx/*/*.log; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    )
    assert "Engine ready" in everything
    assert secret not in everything


def test_neither_torch_nor_transformers_is_there(vps):
    packages = vps.output("/opt/orchestrator/current/venv/bin/pip list --format freeze").lower()
    assert "llama_cpp_python" in packages.replace("-", "_")
    assert not re.search(r"^(torch|transformers|peft|bitsandbytes)==", packages, re.MULTILINE)


def test_the_running_service_is_hardened(vps):
    exposure = vps.output("systemd-analyze security --no-pager orchestrator-vps | tail -1")
    assert float(re.search(r"(\d+\.\d+)", exposure)[1]) <= 2.0
    assert (
        vps.run(
            "grep -q 'NoNewPrivs:.*1' /proc/$(systemctl show -P MainPID orchestrator-vps)/status"
        ).returncode
        == 0
    )


def test_a_second_run_changes_nothing(vps):
    look = (
        "systemctl show -P ActiveEnterTimestampMonotonic -P MainPID orchestrator-vps nginx;"
        "find /etc/orchestrator /etc/nginx /opt/orchestrator /etc/systemd/system ! -type d "
        "-printf '%p %T@ %m\\n' | sort | sha256sum"
    )
    before = vps.output(look)
    said = vps.output(INSTALL, BUILD_S)
    assert "nothing to restart" in said
    assert vps.output(look) == before
