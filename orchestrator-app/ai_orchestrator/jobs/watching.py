"""What a job says, as it says it: its log, its metrics, its state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ai_orchestrator.jobs.job import Job, JobState

MAX_CHUNK_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class JobEvent:
    """
    Args:
        offset: of the log, behind this event.
    """

    kind: Literal["log", "metrics", "state"]
    data: dict[str, Any]
    offset: int | None = None


class JobWatcher:
    """Reads what is new at each `events()`.

    Args:
        offset: in the log, in bytes. Metrics are always told from their beginning.
    """

    def __init__(self, job: Job, offset: int = 0) -> None:
        self._job = job
        self._offset = offset
        self._metrics_at = 0
        self._state: JobState | None = None

    def events(self) -> Iterator[JobEvent]:
        """What was not told yet; the last of an ended job is its state."""
        state = self._job.state  # before the log: what an ended job wrote is there
        if state != self._state and not state.ended:
            self._state = state
            yield JobEvent("state", {"state": state})
        yield from self._log(whole=state.ended)
        for line in self._metric_lines():
            yield JobEvent("metrics", line)
        if state != self._state:
            self._state = state
            done = {"state": state, "done": True, "problem": self._job.problem}
            yield JobEvent("state", done, self._offset)

    @property
    def ended(self) -> bool:
        return self._state is not None and self._state.ended

    def _log(self, *, whole: bool) -> Iterator[JobEvent]:
        try:
            with self._job.log.open("rb") as stream:
                stream.seek(self._offset)
                while chunk := stream.read(MAX_CHUNK_BYTES):
                    end = chunk.rfind(b"\n") + 1
                    if not end and (whole or len(chunk) == MAX_CHUNK_BYTES):
                        end = len(chunk)
                    if not end:
                        return
                    self._offset += end
                    stream.seek(self._offset)
                    text = chunk[:end].decode("utf-8", "replace")
                    yield JobEvent("log", {"text": text}, self._offset)
        except OSError:
            return

    def _metric_lines(self) -> Iterator[dict[str, Any]]:
        try:
            with self._job.metrics.open("rb") as stream:
                stream.seek(self._metrics_at)
                for line in stream:
                    if not line.endswith(b"\n"):
                        return
                    self._metrics_at += len(line)
                    try:
                        value = json.loads(line)
                    except ValueError:
                        continue
                    if isinstance(value, dict):
                        yield value
        except OSError:
            return
