from __future__ import annotations

import os
import subprocess
import sys

import pytest
from orchestrator_relay.discovery.interfaces import interface_addresses, url_of
from support import namespaces
from support.namespaces import Network

LIST = """
import fcntl, struct, subprocess, time
from orchestrator_relay.discovery.interfaces import interface_addresses

tunnel = open("/dev/net/tun", "rb")  # up as long as a program holds it
fcntl.ioctl(tunnel, 0x400454CA, struct.pack("16sH", b"work", 0x1001))
for words in ("address add 10.99.0.1/24 dev work", "link set work up"):
    subprocess.run(["ip", *words.split()], check=True)
while len(interface_addresses()) < 3:
    time.sleep(0.05)  # the system takes its time to notice
for one in interface_addresses():
    print(one.kind, one.address)
"""


def test_no_address_is_one_that_others_cannot_reach() -> None:
    for one in interface_addresses():
        assert not one.address.startswith(("127.", "fe80:")) and one.address not in ("::1", "0.0.0.0")


@pytest.mark.skipif(namespaces.missing() is not None and not os.environ.get("CI"), reason="needs namespaces")
def test_tunnels_and_bridges_without_a_cable_come_last() -> None:
    with Network("host") as network:
        host = network["host"]
        host.run("ip", "link", "add", "containers", "type", "bridge")
        host.run("ip", "address", "add", "172.30.0.1/16", "dev", "containers")
        host.run("ip", "link", "set", "containers", "up")
        host.run("ip", "link", "add", "port", "type", "veth", "peer", "name", "container")
        host.run("ip", "link", "set", "port", "master", "containers", "up")
        host.run("ip", "link", "set", "container", "up")
        host.run("ip", "link", "add", "unplugged", "type", "bridge")
        host.run("ip", "address", "add", "10.98.0.1/24", "dev", "unplugged")
        listed = subprocess.run(
            host.command([sys.executable, "-c", LIST]), capture_output=True, text=True, check=True, timeout=60
        )
    assert listed.stdout.split("\n")[:-1] == ["lan 10.77.0.1", "vpn 10.99.0.1", "virtual 172.30.0.1"]


def test_ipv6_goes_into_brackets() -> None:
    assert (url_of("fd00::1", 5000), url_of("10.0.0.1", 80)) == (
        "http://[fd00::1]:5000",
        "http://10.0.0.1:80",
    )
