"""A program in a real pseudo-terminal, driven like a person would: type, read, press Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Self

CTRL_C = "\x03"
CTRL_D = "\x04"
PASTE_BEGIN = "\x1b[200~"
PASTE_END = "\x1b[201~"
_WHERE_IS_THE_CURSOR = b"\x1b[6n"
_TOP_LEFT = b"\x1b[1;1R"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[=>78()B]")


class TerminalSession:
    """Starts the program in a terminal of its own, with itself as the foreground job.

    Args:
        command: program and arguments.
        env: its whole environment. Whoever wants to see prompt_toolkit's toolbar sets `PROMPT_TOOLKIT_NO_CPR` to "0".
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], *, columns: int = 120) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **env},
        )
        os.close(slave)
        self.raw = ""
        self._seen = 0

    @property
    def screen(self) -> str:
        """Everything shown so far, without escape sequences."""
        return _ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def enter(self, text: str = "") -> None:
        self.type(text + "\r")

    def expect(self, text: str, timeout: float = 20.0) -> str:
        """Wait until `text` appears after what was expected before; returns what came until then."""
        deadline = time.monotonic() + timeout
        while text not in self.screen[self._seen :]:
            if not self._read(max(0.0, deadline - time.monotonic())):
                raise AssertionError(f"{text!r} did not appear; the screen ends with:\n{self.screen[-2000:]}")
        begin = self._seen
        self._seen = self.screen.index(text, begin) + len(text)
        return self.screen[begin : self._seen]

    def expect_more(self, characters: int, timeout: float = 20.0) -> None:
        """Wait until so much text came after what was expected before, whatever it says."""
        deadline = time.monotonic() + timeout
        while len(self.screen) < self._seen + characters:
            if not self._read(max(0.0, deadline - time.monotonic())):
                raise AssertionError(f"nothing more appeared; the screen ends with:\n{self.screen[-2000:]}")
        self._seen = len(self.screen)

    def wait(self, timeout: float = 20.0) -> int:
        """Read until the program ends; returns its exit code."""
        deadline = time.monotonic() + timeout
        while self._read(max(0.0, deadline - time.monotonic())):
            pass
        return self.process.wait(timeout=max(0.1, deadline - time.monotonic()))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self._master)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self, timeout: float) -> bool:
        """Take in what comes next; False when nothing came in time or the program has ended."""
        ready, _, _ = select.select([self._master], [], [], timeout)
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the last process has closed the terminal
            return False
        self.raw += data.decode("utf-8", "replace")
        if _WHERE_IS_THE_CURSOR in data:
            os.write(self._master, _TOP_LEFT)
        return bool(data)
