"""What deploy_vps.sh refuses: a machine that cannot work is told so, and stays as it was."""

from collections.abc import Iterator

import pytest
from support.container import Container
from support.vps_machine import BOOTED, SCRIPT

pytestmark = BOOTED


@pytest.fixture(autouse=True)
def untouched(bare) -> Iterator[None]:
    yield
    assert bare.run("test -e /opt/orchestrator -o -e /etc/orchestrator -o -e /usr/sbin/nginx").returncode
    assert bare.run("id orchestrator").returncode


def refused(bare: Container, command: str) -> str:
    done = bare.run(command)
    assert done.returncode in (1, 2), done.stdout
    assert done.stderr.startswith("error: ")
    return done.stderr


def test_an_unknown_option(bare):
    assert "--colour is not an option" in refused(bare, f"{SCRIPT} --colour")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--port", "--port needs a value"),
        ("--port 70000", "70000 is not a port"),
        ("--port 80", "Port 80 is needed"),
        ("--port 8001", "are both 8001"),
        ("--domain 'no domain'", "is not a domain name"),
        ("--domain localhost", "is not a domain name"),
        ("--address 'a b'", "--address a b is neither"),
        ("--address 300.1.1.1", "--address 300.1.1.1 is neither"),
        ("--address 'x;reboot'", "is neither"),
        ("--email nobody", "is not an e-mail address"),
        ("--backups here", "--backups takes a whole path"),
        ("--backups /var/lib/orchestrator/b", "loses it with its data"),
        ("--keep-backups 0", "--keep-backups takes a number"),
        ("--nginx --no-nginx", "exclude each other"),
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
def test_a_bad_option(bare, options, said):
    assert said in refused(bare, f"{SCRIPT} --yes {options}")


def test_a_model_with_another_sum(bare):
    builtin = "/root/orchestrator/fine-tuning/builtin/orchestrator-tiny.gguf"
    assert "does not have the sha256" in refused(
        bare, f"{SCRIPT} --yes --model {builtin} --sha256 {'0' * 64}"
    )


def test_without_root(bare):
    bare.output("chmod 755 /root && useradd --system someone 2>/dev/null || true")
    said = refused(bare, f"runuser -u someone -- {SCRIPT} --yes --port 8443")
    assert "must run as root" in said
    assert f"sudo {SCRIPT} --yes --port 8443" in said


def test_an_unsupported_distribution(bare):
    bare.output("cp --remove-destination /usr/lib/os-release /etc/os-release")
    bare.output(
        'sed -i \'s/^VERSION_ID=.*/VERSION_ID="11"/; s/^PRETTY_NAME=.*/PRETTY_NAME="Old (bullseye)"/\' /etc/os-release'
    )
    try:
        said = refused(bare, f"{SCRIPT} --yes")
    finally:
        bare.output("ln -sf ../usr/lib/os-release /etc/os-release")
    assert "bullseye" in said
    assert "Ubuntu 22.04" in said


def test_a_full_disk(bare):
    bare.output("mount -t tmpfs -o size=64m tmpfs /opt")
    try:
        assert "/opt has 64 MiB free" in refused(bare, f"{SCRIPT} --yes")
    finally:
        bare.output("umount /opt")


def test_nobody_to_ask(bare):
    assert "Give --yes" in refused(bare, SCRIPT)
