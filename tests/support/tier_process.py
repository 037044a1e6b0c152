"""A tier as a real process that tests start, stop, kill and suspend, on this host or on one of a `Network`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Self

import psutil
from support.namespaces import Host
from support.processes import ENGINE, children

START_S = 60.0
STOP_S = 30.0


class TierProcess:
    """
    Args:
        arguments: of the `orchestrator` command.
        env: the whole environment.
        log: file for its output, of all its lives one after the other.
        address: where it will listen: started once that accepts connections.
        host: where to run; None: here.
    """

    def __init__(
        self,
        arguments: list[str],
        env: Mapping[str, str],
        log: Path,
        address: tuple[str, int],
        host: Host | None = None,
    ) -> None:
        self._host = host
        self._command = self.command_line(arguments)
        self._env = dict(env)
        self.log = log
        self.address = address
        self._process: subprocess.Popen[bytes] | None = None

    def command_line(self, arguments: list[str]) -> list[str]:
        """The `orchestrator` command with these arguments, to be run where this tier runs."""
        command = [sys.executable, "-m", "ai_orchestrator.cli", *arguments]
        return command if self._host is None else self._host.command(command)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> Self:
        with self.log.open("ab") as log:
            # A group of its own: a machine that is suspended takes its engine process along.
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_for_listener()
        return self

    def stop(self) -> int:
        """As systemd does; its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(STOP_S)

    def kill(self) -> None:
        """kill -9 of the process and all its children."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_S)

    def suspend(self) -> None:
        """The machine sleeps: no socket is closed, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def footprint(self) -> dict[str, int]:
        """What must not grow: threads, open files and resident KiB of the server, gunicorn's worker among it."""
        process = psutil.Process(self.pid)
        processes = [process, *(child for child, command in children(process) if ENGINE not in command)]
        return {
            "threads": sum(one.num_threads() for one in processes),
            "files": sum(one.num_fds() for one in processes),
            "rss_kib": sum(one.memory_info().rss for one in processes) // 1024,
        }

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(self, *error: object) -> None:
        self.resume()
        self.kill()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _wait_for_listener(self) -> None:
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up:
            if not self.running:
                raise RuntimeError(f"{self._command} ended at once:\n{self.output[-4000:]}")
            if self._accepts():
                return
            time.sleep(0.05)
        raise TimeoutError(f"{self._command} does not listen on {self.address}:\n{self.output[-4000:]}")

    def _accepts(self) -> bool:
        with nullcontext() if self._host is None else self._host.entered():
            try:
                with socket.create_connection(self.address, 1):
                    return True
            except OSError:
                return False
