"""A booted Debian, with its own systemd and no network but loopback."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from pathlib import Path
from typing import Self

from support.debian_image import NoImage

_numbers = itertools.count(1)


class Container:
    """Boots `root` (a Debian's root folder) for the length of the block, then shuts it down.

    Args:
        read_only: folders of this machine to the places where the container sees them.
    """

    def __init__(self, root: Path, read_only: dict[Path, str] | None = None) -> None:
        self.root = root
        self._binds = read_only or {}
        self._log = root.with_name(f"{root.name}.boot.log")

    def __enter__(self) -> Self:
        binds = [f"--bind-ro={folder}:{place}" for folder, place in self._binds.items()]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    # When this process is killed, the container is shut down too.
                    *("nice", "-n", "5", "setpriv", "--pdeathsig", "TERM", "--"),
                    *("systemd-nspawn", "--quiet", "--boot", "-D", str(self.root)),
                    *("--register=no", "--keep-unit", "--private-network", "--console=pipe"),
                    f"--machine=orchestrator-test-{os.getpid()}-{next(_numbers)}",
                    *binds,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )
        try:
            self._init = self._wait_for_init()
            self.run("systemctl is-system-running --wait", timeout=90)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def run(self, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """A shell command in the container, as root. Nothing is raised when it fails."""
        place = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        return subprocess.run(
            ["nsenter", "--target", str(self._init), "--all", "--wdns=/root", "--", "bash", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=place,
            check=False,
        )

    def output(self, command: str, timeout: float = 120) -> str:
        """What a command that must work prints."""
        done = self.run(command, timeout)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def _wait_for_init(self) -> int:
        """
        Raises:
            NoImage: the container does not boot here.
        """
        deadline = time.monotonic() + 60
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while time.monotonic() < deadline and self._process.poll() is None:
            for pid in children.read_text().split():
                # Not before it is systemd: until then it still has this machine's namespaces.
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd" and self._has_bus(int(pid)):
                    return int(pid)
            time.sleep(0.1)
        raise NoImage(f"the container does not boot: {self._log.read_text(errors='replace')[-2000:]}")

    def _has_bus(self, pid: int) -> bool:
        return Path(f"/proc/{pid}/root/run/systemd/private").exists()

    def _end(self) -> None:
        """An orderly shutdown, as nspawn understands SIGTERM."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
