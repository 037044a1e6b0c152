"""One life of the engine process, seen from the server: start it, talk to it, see it end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from typing import Any

from shared_context.child_environment import child_environment

from orchestrator_core.engine.channel import Channel
from orchestrator_core.engine.load import LoadSpec

log = logging.getLogger("orchestrator.engine")

REMEMBERED_LINES = 40
"""Of the process's stderr, for the error when it dies."""

ALARMING = ("error", "failed", "assert", "traceback", "exception")
"""llama.cpp's log has no levels once it is text; lines with these words are worth a warning."""

STOP_TIMEOUT_S = 5.0


class EngineProcess:
    """A running child. Start it from a thread that lives as long as the server: the kernel kills the child
    when the thread that started it ends.
    """

    def __init__(self, spec: LoadSpec) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "orchestrator_core.engine.worker",
                    str(theirs.fileno()),
                    str(os.getpid()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                # On an assertion llama.cpp would otherwise start a debugger, which takes seconds.
                env=child_environment({"GGML_NO_BACKTRACE": "1"}),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.channel = Channel(ours)
        self._lines: deque[str] = deque(maxlen=REMEMBERED_LINES)
        self._logger = threading.Thread(target=self._read_output, name="engine-log", daemon=True)
        self._logger.start()
        self.channel.send(spec.wire())

    @property
    def pid(self) -> int:
        return self._popen.pid

    def receive(self) -> dict[str, Any]:
        """Raises ChannelClosed when the process has ended."""
        return self.channel.receive()

    def kill(self) -> None:
        """End the process although it may not listen; `receive` then raises."""
        self._popen.kill()

    def stop(self) -> None:
        """End the process, at once if need be, and collect it. Safe to call when it is gone."""
        self.channel.close()
        try:
            self._popen.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._logger.join(STOP_TIMEOUT_S)
        if self._popen.stdout is not None:
            self._popen.stdout.close()

    def epitaph(self) -> str:
        """How it ended and what it said last. Only after `stop`."""
        code = self._popen.returncode
        how = f"by signal {_signal_name(-code)}" if code < 0 else f"with status {code}"
        last_lines = " | ".join(line for line in list(self._lines)[-6:] if line)
        return f"The engine process ended {how}." + (
            f" It last said: {last_lines[-800:]}" if last_lines else ""
        )

    def _read_output(self) -> None:
        assert self._popen.stdout is not None
        for raw in self._popen.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            if not line.strip(". "):
                continue
            self._lines.append(line)
            log.log(_level(line), "%s", line)


def _level(line: str) -> int:
    """Our own lines begin with their level; llama.cpp's are guessed at."""
    level = logging.getLevelNamesMapping().get(line.partition(":")[0])
    if level is None:
        level = logging.WARNING if any(word in line.lower() for word in ALARMING) else logging.DEBUG
    return level


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
