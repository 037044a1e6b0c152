"""What the setup says, and how it runs commands."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

PROGRESS = re.compile(r"\[(\d+)/(\d+)\]")
"""ninja's step counter, as it appears in a verbose pip log."""


class SetupError(Exception):
    """Something the person must mend: what failed, and what to do."""

    def __init__(self, message: str, hint: str = "", log: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.log = log


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def failure(error: SetupError) -> None:
    if error.log:
        print(error.log, file=sys.stderr)
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"       {error.hint}", file=sys.stderr)


def run(command: Sequence[str | Path], *, label: str, log: Path, env: dict[str, str] | None = None) -> None:
    """Run a long command: progress on one line, the full output in `log`.

    Raises:
        SetupError: it failed; carries the end of the output.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: deque[str] = deque(maxlen=25)
    started = time.monotonic()
    meter = _Meter(label)
    with (
        log.open("w", encoding="utf-8", errors="replace") as sink,
        subprocess.Popen(  # noqa: S603 - the commands are our own
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=env,
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                sink.write(line)
                tail.append(line.rstrip())
                meter.see(line)
        except BaseException:
            process.terminate()
            raise
    meter.done(time.monotonic() - started, ok=process.returncode == 0)
    if process.returncode:
        raise SetupError(f"{label}: failed", f"The whole output is in {log}", "\n".join(tail))


class _Meter:
    """One line that counts on a terminal; every tenth part otherwise."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.live = sys.stdout.isatty()
        self.tenth = -1
        self._show(f"==> {label} ...", end="" if self.live else "\n")

    def see(self, line: str) -> None:
        progress = PROGRESS.search(line)
        if not progress:
            return
        step, total = int(progress[1]), int(progress[2])
        if self.live:
            self._show(f"\r==> {self.label} ... step {step} of {total}", end="")
        elif total and step * 10 // total > self.tenth:
            self.tenth = step * 10 // total
            self._show(f"    {self.label}: step {step} of {total}")

    def done(self, seconds: float, *, ok: bool) -> None:
        outcome = "done" if ok else "failed"
        start = "\r\033[K==> " if self.live else "    "
        self._show(f"{start}{self.label}: {outcome} in {seconds:.0f} s")

    def _show(self, text: str, end: str = "\n") -> None:
        print(text, end=end, flush=True)
