"""The real deploy_vps.sh inside a booted Debian with systemd and nginx, without network.

One machine's story, told in order: from nothing to an answer, restart, upgrade, a failed upgrade,
rollback, uninstall. A second machine is offered what cannot work, and must stay as it was.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.container import Container
from support.debian_image import ROOT, Image, NoImage, image, unpack

pytestmark = [pytest.mark.slow, pytest.mark.container, pytest.mark.timeout(900)]

SCRIPT = "/root/orchestrator/orchestrator-vps/deploy_vps.sh"
WHEELS = "/wheelhouse"
INSTALL = f"PIP_NO_INDEX=1 {SCRIPT} --yes --wheelhouse {WHEELS}"
CERTIFICATE = "/etc/orchestrator/tls/certificate.pem"
BUILD_S = 300


@contextmanager
def explained() -> Iterator[None]:
    """Where no container can boot: skipped on a person's machine, a failure in CI."""
    try:
        yield
    except NoImage as reason:
        if os.environ.get("CI"):
            pytest.fail(f"CI must boot a container, but {reason}")
        pytest.skip(f"{reason}; CI, where it must boot, would fail here")


@pytest.fixture(scope="module")
def debian() -> Image:
    with explained():
        return image()


@pytest.fixture(scope="module")
def bare(debian, tmp_path_factory) -> Iterator[Container]:
    """A machine on which nothing was installed."""
    with machine(debian, tmp_path_factory.mktemp("bare")) as container:
        yield container


@pytest.fixture(scope="module")
def vps(debian, tmp_path_factory) -> Iterator[Container]:
    """A machine on which the script ran once."""
    with machine(debian, tmp_path_factory.mktemp("vps")) as container:
        container.report = container.output(INSTALL, BUILD_S)
        yield container


@contextmanager
def machine(debian: Image, folder: Path) -> Iterator[Container]:
    root = folder / "root"
    unpack(debian.archive, root)
    copy_source(root / "root/orchestrator")
    with explained():
        container = Container(root, {debian.wheels: WHEELS})
        container.__enter__()
    try:
        yield container
    finally:
        container.__exit__(None, None, None)
        shutil.rmtree(root)


def copy_source(target: Path) -> None:
    """What somebody who cloned the repository has, and what is about to be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    there = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    target.mkdir()
    subprocess.run(
        f"tar -C {ROOT} --null -T - -cf - | tar -C {target} -xf -",
        shell=True, input="\0".join(there), text=True, check=True,
    )  # fmt: skip


def curl(vps: Container, path: str, *options: str, base: str = "https://127.0.0.1", key: bool = True) -> str:
    """Through nginx, trusting the machine's own certificate, with the clients' key."""
    line = ["curl --silent --show-error --max-time 60", f"--cacert {CERTIFICATE}", *options]
    if key:
        line.append(
            '-H "Authorization: Bearer $(sed s/ORCHESTRATOR_API_KEY=// /etc/orchestrator/secrets.env)"'
        )
    return vps.output(" ".join([*line, f"'{base}{path}'"]))


def post(vps: Container, path: str, body: dict, *options: str) -> str:
    return curl(vps, path, "-H 'Content-Type: application/json'", f"--data '{json.dumps(body)}'", *options)


def ask(vps: Container, message: str) -> dict:
    return json.loads(post(vps, "/chat", {"message": message, "max_tokens": 12}))


def status_of(vps: Container, path: str, *options: str, **more) -> int:
    return int(curl(vps, path, "--output /dev/null --write-out '%{http_code}'", *options, **more))


def history(vps: Container) -> list[str]:
    return [turn["content"] for turn in json.loads(curl(vps, "/conversation"))["history"]]


def version(vps: Container) -> str:
    return json.loads(curl(vps, "/info"))["version"]


def set_version(vps: Container, number: str) -> None:
    vps.output(f"sed -i 's/^version = .*/version = \"{number}\"/' /root/orchestrator/pyproject.toml")


class TestAMachineThatCannotWork:
    """Refused before anything is changed."""

    @pytest.fixture(autouse=True)
    def untouched(self, bare) -> Iterator[None]:
        yield
        assert bare.run("test -e /opt/orchestrator -o -e /etc/orchestrator -o -e /usr/sbin/nginx").returncode
        assert bare.run("id orchestrator").returncode

    def refused(self, bare: Container, command: str) -> str:
        done = bare.run(command)
        assert done.returncode in (1, 2), done.stdout
        assert done.stderr.startswith("error: ")
        return done.stderr

    def test_an_unknown_option(self, bare):
        assert "--colour is not an option" in self.refused(bare, f"{SCRIPT} --colour")

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ("--port", "--port needs a value"),
            ("--port 70000", "70000 is not a port"),
            ("--port 80", "Port 80 is needed"),
            ("--port 8001", "are both 8001"),
            ("--domain 'no domain'", "is not a domain name"),
            ("--domain localhost", "is not a domain name"),
            ("--sha256 123", "64 hexadecimal digits"),
            ("--delete-data", "belongs to --uninstall"),
            ("--rollback --uninstall", "exclude each other"),
            ("--cpu --gpu", "exclude each other"),
            ("--gpu", "nvidia-smi finds no NVIDIA GPU"),
            ("--firewall", "neither ufw nor firewalld"),
            ("--wheelhouse /nowhere", "/nowhere is not a folder"),
            ("--model /nowhere.gguf", "no model at /nowhere.gguf"),
            ("--model /root", "not a readable file"),
            ("--model /etc/passwd", "is not a GGUF file"),
            ("--model http://example.org/m.gguf", "takes an https:// address"),
            ("--model https://example.org/m.gguf", "needs --sha256"),
            ("--rollback", "no previous release"),
        ],
    )
    def test_a_bad_option(self, bare, options, said):
        assert said in self.refused(bare, f"{SCRIPT} --yes {options}")

    def test_a_model_with_another_sum(self, bare):
        builtin = "/root/orchestrator/fine-tuning/builtin/orchestrator-tiny.gguf"
        assert "does not have the sha256" in self.refused(
            bare, f"{SCRIPT} --yes --model {builtin} --sha256 {'0' * 64}"
        )

    def test_without_root(self, bare):
        bare.output("chmod 755 /root && useradd --system someone 2>/dev/null || true")
        said = self.refused(bare, f"runuser -u someone -- {SCRIPT} --yes --port 8443")
        assert "must run as root" in said
        assert f"sudo {SCRIPT} --yes --port 8443" in said

    def test_an_unsupported_distribution(self, bare):
        bare.output("cp --remove-destination /usr/lib/os-release /etc/os-release")
        bare.output(
            'sed -i \'s/^VERSION_ID=.*/VERSION_ID="11"/; s/^PRETTY_NAME=.*/PRETTY_NAME="Old (bullseye)"/\' /etc/os-release'
        )
        try:
            said = self.refused(bare, f"{SCRIPT} --yes")
        finally:
            bare.output("ln -sf ../usr/lib/os-release /etc/os-release")
        assert "bullseye" in said
        assert "Ubuntu 22.04" in said

    def test_a_full_disk(self, bare):
        bare.output("mount -t tmpfs -o size=64m tmpfs /opt")
        try:
            assert "/opt has 64 MiB free" in self.refused(bare, f"{SCRIPT} --yes")
        finally:
            bare.output("umount /opt")

    def test_nobody_to_ask(self, bare):
        assert "Give --yes" in self.refused(bare, SCRIPT)


class TestTheFirstInstallation:
    def test_a_question_is_answered_through_nginx(self, vps):
        answer = ask(vps, "What is the four-tier handoff system?")
        assert answer["response"].strip()
        assert answer["tier"] == "vps"
        assert answer["usage"]["completion_tokens"] > 0

    def test_the_raw_route_of_the_first_description(self, vps):
        answer = json.loads(post(vps, "/generate", {"prompt": "[INST] Hello [/INST]", "max_tokens": 4}))
        assert answer["response"]

    def test_the_report_names_what_the_owner_needs(self, vps):
        fingerprint = vps.output(f"openssl x509 -in {CERTIFICATE} -noout -fingerprint -sha256 | cut -d= -f2")
        command = rf"orchestrator vps enroll https://127\.0\.0\.1 [0-9A-Z-]+ --fingerprint {fingerprint}"
        assert re.search(command, vps.report)
        assert "/etc/orchestrator/secrets.env" in vps.report
        secret = vps.output("cut -d= -f2 /etc/orchestrator/secrets.env")
        assert len(secret) > 40
        assert secret not in vps.report

    def test_the_printed_command_enrols_a_desktop(self, vps):
        (command,) = re.findall(r"orchestrator (vps enroll .*)", vps.report)
        vps.output(f"/opt/orchestrator/current/venv/bin/orchestrator {command} --data /tmp/desktop")
        assert "source" in vps.output("orchestrator-vps desktops")
        assert "a desktop is enrolled" in vps.output(INSTALL, BUILD_S)

    def test_only_root_and_the_service_read_settings_and_secrets(self, vps):
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

    def test_the_key_is_in_no_log_and_no_command_line(self, vps):
        secret = vps.output("cut -d= -f2 /etc/orchestrator/secrets.env")
        everything = vps.output(
            "journalctl --no-pager; cat /var/log/nginx/*/*.log; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
        )
        assert "Engine ready" in everything
        assert secret not in everything

    def test_neither_torch_nor_transformers_is_there(self, vps):
        packages = vps.output("/opt/orchestrator/current/venv/bin/pip list --format freeze").lower()
        assert "llama_cpp_python" in packages.replace("-", "_")
        assert not re.search(r"^(torch|transformers|peft|bitsandbytes)==", packages, re.MULTILINE)

    def test_the_running_service_is_hardened(self, vps):
        exposure = vps.output("systemd-analyze security --no-pager orchestrator-vps | tail -1")
        assert float(re.search(r"(\d+\.\d+)", exposure)[1]) <= 2.0
        assert (
            vps.run(
                "grep -q 'NoNewPrivs:.*1' /proc/$(systemctl show -P MainPID orchestrator-vps)/status"
            ).returncode
            == 0
        )

    def test_a_second_run_changes_nothing(self, vps):
        look = (
            "systemctl show -P ActiveEnterTimestampMonotonic -P MainPID orchestrator-vps nginx;"
            "find /etc/orchestrator /etc/nginx /opt/orchestrator /etc/systemd/system ! -type d "
            "-printf '%p %T@ %m\\n' | sort | sha256sum"
        )
        before = vps.output(look)
        said = vps.output(INSTALL, BUILD_S)
        assert "nothing to restart" in said
        assert vps.output(look) == before


class TestTheWayThroughNginx:
    def test_plain_http_leads_to_https_and_keeps_the_method(self, vps):
        head = curl(vps, "/generate?x=1", "--head -X POST", base="http://127.0.0.1", key=False)
        assert "308 Permanent Redirect" in head
        assert "Location: https://127.0.0.1/generate?x=1" in head

    def test_http_2_is_spoken(self, vps):
        said = curl(vps, "/health", "--http2 --output /dev/null --write-out '%{http_version} %{http_code}'")
        assert said == "2 200"

    def test_old_tls_is_refused(self, vps):
        done = vps.run(
            "curl --silent --insecure --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 https://127.0.0.1/health"
        )
        assert done.returncode == 35

    def test_every_security_header_is_there_once(self, vps):
        names = [
            line.split(":")[0].lower()
            for line in curl(vps, "/info", "--dump-header - --output /dev/null").splitlines()
        ]
        for name in ("content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy",
                     "cross-origin-resource-policy", "cache-control"):  # fmt: skip
            assert names.count(name) == 1, name

    def test_nothing_is_held_back(self, vps):
        """A stream that never ends: a proxy that collects it would show nothing within the time."""
        said = vps.output("/opt/orchestrator/current/venv/bin/python - <<'END'\n" + ENDLESS_STREAM + "\nEND")
        assert said.startswith(("data:", "event:", "id:"))

    def test_a_hundred_clients_stream_at_once(self, vps):
        said = vps.output(
            "/opt/orchestrator/current/venv/bin/python - <<'END'\n" + HUNDRED_STREAMS + "\nEND", timeout=240
        )
        assert said == "100"

    def test_a_websocket_without_a_credential_is_refused_by_the_server_itself(self, vps):
        upgrade = "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='"
        refusal = json.loads(curl(vps, "/relay", "--http1.1", upgrade, key=False))
        assert refusal["error"]["type"] == "authentication_error"

    def test_a_body_over_the_limit_is_refused_in_the_api_s_words(self, vps):
        vps.output("truncate -s 9M /tmp/large")
        refusal = json.loads(
            curl(vps, "/sync", "--data-binary @/tmp/large -H 'Content-Type: application/json' -H 'Expect:'")
        )
        assert refusal["error"]["code"] == "payload_too_large"

    def test_guessing_codes_is_slowed_down(self, vps):
        one = "curl --silent --insecure -o /dev/null -w '%{http_code} ' -H 'Content-Type: application/json' --data '{}' https://127.0.0.1/enroll"
        codes = vps.output(f"for i in $(seq 12); do {one}; done").split()
        assert "429" in codes
        assert codes[0] != "429"

    def test_the_client_s_address_is_the_one_nginx_saw(self, vps):
        curl(vps, "/of-a-liar", "-H 'X-Forwarded-For: 203.0.113.9'")
        line = "journalctl -u orchestrator-vps --no-pager -o cat | grep 'GET /of-a-liar'"
        log = vps.output(f"until {line}; do sleep 0.2; done")
        assert "127.0.0.1" in log
        assert "203.0.113.9" not in log

    def test_what_people_search_for_is_not_logged(self, vps):
        curl(vps, "/search?q=tax+return")
        log = vps.output("tail -1 /var/log/nginx/orchestrator/access.log")
        assert '"GET /search" 200' in log
        assert "tax" not in log
        vps.output("logrotate --force /etc/logrotate.d/orchestrator-vps")
        curl(vps, "/info")
        assert '"GET /info"' in vps.output("cat /var/log/nginx/orchestrator/access.log")

    def test_another_name_is_refused(self, vps):
        refusal = json.loads(curl(vps, "/info", "-H 'Host: evil.example.org'"))
        assert refusal["error"]["code"] == "foreign_host"


class TestOverTime:
    """In this order."""

    def test_a_restart_forgets_nothing(self, vps):
        ask(vps, "Remember the blue door.")
        before = history(vps)
        vps.output("systemctl restart orchestrator-vps")
        assert history(vps) == before
        assert ask(vps, "Still there?")["response"]

    def test_systemd_starts_a_killed_server_again(self, vps):
        pid = vps.output("systemctl show -P MainPID orchestrator-vps")
        vps.output(f"kill -KILL {pid}")
        refusal_or_answer = status_of(vps, "/health")
        assert refusal_or_answer in (200, 503)
        vps.output(
            "until systemctl is-active -q orchestrator-vps "
            f'&& [ "$(systemctl show -P MainPID orchestrator-vps)" != {pid} ]; do sleep 0.2; done'
        )
        assert "Remember the blue door." in history(vps)

    def test_a_server_that_hangs_is_replaced(self, vps):
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

    def test_while_the_server_is_away_nginx_says_so_in_the_api_s_words(self, vps):
        vps.output("systemctl stop orchestrator-vps")
        refusal = json.loads(curl(vps, "/info"))
        assert refusal["error"]["code"] == "backend_unreachable"
        assert status_of(vps, "/info") == 503
        vps.output("systemctl start orchestrator-vps")

    def test_an_upgrade_keeps_the_memory_and_the_certificate(self, vps):
        before, certificate = history(vps), vps.output(f"sha256sum {CERTIFICATE}")
        set_version(vps, "7.0.0")
        vps.output(INSTALL, BUILD_S)
        assert version(vps) == "7.0.0"
        assert history(vps) == before
        assert vps.output(f"sha256sum {CERTIFICATE}") == certificate
        assert vps.run("test -e /var/lib/orchestrator.before-upgrade").returncode == 1

    def test_an_upgrade_that_does_not_start_is_undone(self, vps):
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

    def test_an_upgrade_that_changed_the_database_and_then_failed_is_undone(self, vps):
        """The release before refuses a database from the future: it gets back what it had."""
        before = history(vps)
        vps.output(
            "cat >> /root/orchestrator/shared-context/shared_context/migrations.py <<'END'\n"
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

    def test_rollback_returns_to_the_release_before(self, vps):
        before = history(vps)
        vps.output(f"{SCRIPT} --rollback --yes")
        assert version(vps) == "0.1.0"
        assert history(vps) == before
        vps.output(f"{SCRIPT} --rollback --yes")
        assert version(vps) == "7.0.0"

    def test_only_two_releases_are_kept(self, vps):
        assert len(vps.output("ls /opt/orchestrator/releases").split()) == 2

    def test_another_port_and_model_are_taken_over(self, vps):
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

    def test_a_program_on_the_port_is_named(self, vps):
        vps.output("systemd-run --unit=squatter python3 -m http.server 9443 && "
                   "until curl -s -o /dev/null http://127.0.0.1:9443; do sleep 0.2; done")  # fmt: skip
        done = vps.run(f"{INSTALL} --port 9443")
        assert done.returncode == 1
        assert "Port 9443 is taken by python3" in done.stderr
        vps.output("systemctl stop squatter")

    def test_uninstalling_keeps_the_data_unless_told_otherwise(self, vps):
        vps.output(f"{SCRIPT} --uninstall --yes")
        assert vps.run("systemctl cat orchestrator-vps").returncode != 0
        assert vps.run("test -e /opt/orchestrator -o -e /usr/local/bin/orchestrator-vps").returncode == 1
        assert vps.run("ls /etc/nginx/*/orchestrator* /etc/logrotate.d/orchestrator*").stdout == ""
        vps.output("systemctl is-active nginx && nginx -t")
        said = "SELECT content FROM messages"
        kept = f'python3 -c \'import sqlite3; print(*sqlite3.connect("/var/lib/orchestrator/memory.db").execute("{said}"))\''
        assert "Remember the blue door." in vps.output(kept)

    def test_installing_again_finds_the_old_memory(self, vps):
        vps.output(f"{INSTALL} --port 443", BUILD_S)
        assert "Remember the blue door." in history(vps)

    def test_uninstalling_with_its_data_leaves_nothing(self, vps):
        vps.output(f"{SCRIPT} --uninstall --yes --delete-data")
        left = vps.output("find / -xdev -path /proc -prune -o -path /root -prune -o -path /var/log/journal -prune "
                          "-o -iname '*orchestrator*' -print")  # fmt: skip
        assert left == ""
        assert vps.run("id orchestrator").returncode != 0


class TestADomain:
    """After the uninstallation above; Let's Encrypt is played by a script, the rest is real."""

    BASE = "https://vps.example.org"
    HERE = "--resolve vps.example.org:443:127.0.0.1 --resolve vps.example.org:80:127.0.0.1"

    def test_a_name_that_does_not_lead_here_gets_the_own_certificate_for_now(self, vps):
        vps.output("apt-get -qq install --no-install-recommends --yes ufw certbot >/dev/null")
        vps.output("printf '#!/bin/sh\\nexit 1\\n' > /usr/local/bin/certbot; chmod +x /usr/local/bin/certbot")
        done = vps.run(f"{INSTALL} --domain vps.example.org --firewall", BUILD_S)
        assert done.returncode == 0, done.stderr
        assert "no certificate for vps.example.org" in done.stderr
        assert "--fingerprint" in done.stdout
        head = curl(vps, "/health", f"{self.HERE} --insecure --head", base=self.BASE)
        assert "200" in head
        assert "strict-transport-security" not in head.lower()

    def test_the_proof_is_given_through_nginx_and_the_certificate_used(self, vps):
        (vps.root / "usr/local/bin/certbot").write_text(PLAYED_CERTBOT)
        done = vps.output(INSTALL, BUILD_S)
        assert "nothing to restart" in done
        assert "--fingerprint" not in done
        authority = "/etc/letsencrypt/live/vps.example.org/fullchain.pem"
        head = vps.output(f"curl -sS --head --cacert {authority} {self.HERE} {self.BASE}/health")
        assert "strict-transport-security" in head.lower()
        assert vps.run(f"{INSTALL} | grep asking").returncode == 1

    def test_the_firewall_gets_its_rules_and_stays_as_it_was(self, vps):
        assert {"ufw allow 80/tcp", "ufw allow 443/tcp"} <= {
            line.split(" comment")[0] for line in vps.output("ufw show added").splitlines()
        }
        assert "inactive" in vps.output("ufw status")
        vps.output(f"{SCRIPT} --uninstall --yes --delete-data")
        assert "tcp" not in vps.output("ufw show added")


PLAYED_CERTBOT = """#!/bin/bash
set -e
while (($#)); do
  case $1 in --webroot-path) webroot=$2 ;; --domain) domain=$2 ;; esac
  shift
done
mkdir -p "$webroot/.well-known/acme-challenge"
echo proof > "$webroot/.well-known/acme-challenge/token"
seen=$(curl -s --resolve "$domain:80:127.0.0.1" "http://$domain/.well-known/acme-challenge/token")
[ "$seen" = proof ]
mkdir -p "/etc/letsencrypt/live/$domain"
cd "/etc/letsencrypt/live/$domain"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 90 -subj "/CN=$domain" \\
  -addext "subjectAltName=DNS:$domain" -keyout privkey.pem -out fullchain.pem 2>/dev/null
"""

ENDLESS_STREAM = """
import ssl, http.client, re
key = re.search("=(.*)", open("/etc/orchestrator/secrets.env").read())[1]
connection = http.client.HTTPSConnection("127.0.0.1", context=ssl._create_unverified_context(), timeout=10)
connection.request("GET", "/sync/events", headers={"Authorization": f"Bearer {key}"})
print(connection.getresponse().readline().decode())
"""

HUNDRED_STREAMS = """
import json, ssl, http.client, re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
key = re.search("=(.*)", open("/etc/orchestrator/secrets.env").read())[1]
trusting = ssl._create_unverified_context()
all_connected = Barrier(100)

def stream(number):
    connection = http.client.HTTPSConnection("127.0.0.1", context=trusting, timeout=200)
    connection.connect()
    all_connected.wait(60)
    question = {"model": "any", "messages": [{"role": "user", "content": f"What is {number}?"}],
                "max_tokens": 4, "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(question),
                       {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (answer.status, body)
    assert body.endswith(b"data: [DONE]\\n\\n"), body[-300:]

with ThreadPoolExecutor(100) as clients:
    print(len(list(clients.map(stream, range(100)))))
"""
