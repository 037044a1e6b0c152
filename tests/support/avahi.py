"""Avahi, an implementation of multicast DNS that is not ours, with a message bus of its own on one of `Network`'s hosts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.namespaces import Host
from support.waiting import wait_until

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow eavesdrop="true"/>
    <allow send_requested_reply="true" send_type="method_return"/><allow send_type="signal"/>
    <allow receive_type="method_call"/><allow receive_type="method_return"/>
    <allow receive_type="signal"/><allow receive_type="error"/>
  </policy>
</busconfig>
"""
_DAEMON = """[server]
host-name={name}
use-ipv4=yes
use-ipv6=yes
enable-dbus=yes
[publish]
publish-workstation=no
[rlimits]
"""


def missing() -> str | None:
    """Why Avahi cannot run here; None when it can."""
    absent = [
        name for name in ("avahi-daemon", "avahi-browse", "dbus-daemon") if not shutil.which(name, path=PATH)
    ]
    return f"needs {' and '.join(absent)}" if absent else None


class Avahi:
    def __init__(self, host: Host, environment: dict[str, str]) -> None:
        self._host, self._environment = host, environment

    def browse(self, service: str) -> list[list[str]]:
        """What `avahi-browse --resolve` found: the fields of its lines for resolved services."""
        command = ["avahi-browse", "--resolve", "--parsable", "--terminate", service]
        done = subprocess.run(
            self._host.command(command),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return [line.split(";") for line in done.stdout.splitlines() if line.startswith("=")]

    @contextmanager
    def publishing(self, *arguments: str) -> Iterator[None]:
        """While the block runs, `avahi-publish` with these arguments."""
        with _running(self._host.command(["avahi-publish", *arguments]), self._environment):
            yield


@contextmanager
def avahi(host: Host, folder: Path) -> Iterator[Avahi]:
    """Its daemon and bus, running on this host."""
    folder.mkdir(parents=True, exist_ok=True)
    bus = folder / "bus"
    (folder / "bus.conf").write_text(_BUS.format(path=bus))
    (folder / "daemon.conf").write_text(_DAEMON.format(name=host.namespace))
    environment = {**os.environ, "PATH": PATH, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus}"}
    # `ip netns exec` gives the command mounts of its own: the machine's Avahi, if it has one, is not disturbed.
    daemon = (
        "mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon && "
        f"exec avahi-daemon --file={folder}/daemon.conf --no-drop-root --no-chroot --no-rlimits"
    )
    with _running(
        ["dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork", "--nopidfile"], environment
    ):
        wait_until(bus.exists, 10)
        with _running(host.command(["sh", "-c", daemon]), environment):
            client = Avahi(host, environment)
            wait_until(lambda: _is_up(host, environment), 15)
            yield client


def _is_up(host: Host, environment: dict[str, str]) -> bool:
    asked = host.command(["avahi-resolve", "--name", f"{host.namespace}.local"])
    done = subprocess.run(asked, env=environment, capture_output=True, timeout=20, check=False)
    return done.returncode == 0 and bool(done.stdout)


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
