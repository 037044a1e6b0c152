"""Renders chat templates in a process of its own, which is started with the first and kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared_context.child_environment import child_environment

from orchestrator_core.errors import TemplateOverrun, TemplateUnusable
from orchestrator_core.prompt.render_worker import MAX_MEMORY, MAX_SECONDS

MAX_SOURCE_CHARS = 512 * 1024
"""The largest template seen in public models has about 30,000 characters."""


class TemplateRenderer:
    """The process, and the one conversation with it. Safe from any thread: one rendering at a time."""

    def __init__(self) -> None:
        self.starts = 0
        """Processes started so far."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, source: str, variables: Mapping[str, Any], today: datetime | None = None) -> str:
        """The text of the template with these variables (JSON values).

        Args:
            today: for templates that write a date; None: words that never change.

        Raises:
            TemplateUnusable: it does not compile, refuses the messages, or fails.
            TemplateOverrun: it was stopped.
        """
        if len(source) > MAX_SOURCE_CHARS:
            raise TemplateUnusable(f"it has {len(source):,} characters; the limit is {MAX_SOURCE_CHARS:,}")
        request = {"source": source, "variables": variables, "today": today and today.isoformat()}
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            reply = self._ask(line)
        if "text" not in reply:
            raise TemplateUnusable(reply["refused"])
        return reply["text"]

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the process; the next rendering starts another."""
        with self._lock:
            if self._process is not None:
                self._end(self._process)

    def forget(self) -> None:
        """After a fork: the process is the parent's."""
        self._lock = threading.Lock()
        self._process = None

    def _ask(self, line: bytes) -> dict[str, str]:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
            reply: dict[str, str] = json.loads(process.stdout.readline())
        except (OSError, ValueError) as error:
            self._end(process)
            limits = f"{MAX_SECONDS} s or {MAX_MEMORY // 2**20} MiB"
            raise TemplateOverrun(f"was stopped: it needs more than {limits}") from error
        return reply

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.starts += 1
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "orchestrator_core.prompt.render_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child_environment(),
            )
        return self._process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.communicate()
        self._process = None


RENDERER = TemplateRenderer()
"""One for all models. It ends with the server: its standard input does."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=RENDERER.forget)
