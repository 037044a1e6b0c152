"""A job as files: what was asked for, which process works on it, how it ended. The state follows from them.

`<data>/jobs/<id>/`
    job.json        what was asked for; written once
    process.json    the process that works on it, when it was started
    cancelled       somebody asked it to end
    result.json     exit code and end, written by the job's own process
    log.txt, metrics.jsonl, output/

So a server that restarts finds each job in its true state, whatever happened meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field
from shared_context.storage.atomic import write_whole
from shared_context.storage.sqlite_errors import translated_system

HUB_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT")
"""Of the owner's, which a training needs as well; a token is read from HF_HOME."""

Kind = Literal["train", "eval"]


class JobState(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


class JobRequest(BaseModel):
    """
    Args:
        model: what is trained or evaluated: a reference of the registry, `builtin`, or a hub id.
        dataset: name of an uploaded one, or a path that the owner gave on this machine.
        options: flags of the training or evaluation.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    job_id: str
    kind: Kind
    model: str
    dataset: str
    options: dict[str, Any] = Field(default_factory=dict)
    arguments: list[str]
    created_at: str


@dataclass(frozen=True, slots=True)
class Job:
    """One job's folder."""

    request: JobRequest
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def state(self) -> JobState:
        # In this order: what begins or ends meanwhile is then taken for what it was, never for a failure.
        begun = (self.folder / "process.json").exists()
        alive = begun and self.process is not None
        cancelled = (self.folder / "cancelled").exists()
        result = self.result
        if result is not None and result.get("exit_code") == 0:
            return JobState.SUCCESS
        if result is None and alive:
            return JobState.RUNNING
        if cancelled:
            return JobState.CANCELLED
        # Begun, and neither alive nor ended by itself: killed, or the machine went down.
        return JobState.FAILED if result is not None or begun else JobState.QUEUED

    @property
    def result(self) -> dict[str, Any] | None:
        return _read(self.folder / "result.json")

    @property
    def process(self) -> psutil.Process | None:
        """The live process that works on it."""
        noted = _read(self.folder / "process.json")
        if noted is None:
            return None
        try:
            process = psutil.Process(int(noted["pid"]))
            # A number is given again; the time of its start is not.
            same = abs(process.create_time() - float(noted["created"])) < 0.05
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.Error, KeyError, TypeError, ValueError):
            return None

    @property
    def problem(self) -> str | None:
        """Why it failed: the last line it wrote, or that it was killed."""
        if self.state is not JobState.FAILED:
            return None
        if self.result is None:
            return "Its process was killed, or the machine went down. What it saved is in its output folder."
        lines = self.log_text(max_bytes=4000).strip().splitlines()
        return lines[-1][:500] if lines else f"It ended with exit code {self.result.get('exit_code')}."

    def log_text(self, max_bytes: int) -> str:
        """The end of the log."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(0, os.SEEK_END)
                stream.seek(max(0, stream.tell() - max_bytes))
                return stream.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def cancel(self) -> None:
        """Ask it to end; a training leaves a checkpoint. Idempotent.

        Raises:
            StoreError: that could not be noted.
        """
        if self.state.ended:
            return
        with translated_system(self.folder):
            (self.folder / "cancelled").touch()
        process = self.process
        if process is not None:
            with suppress(psutil.Error, OSError):
                process.send_signal(signal.SIGTERM)


def pause_file(folder: Path) -> Path:
    """Of the folder of all jobs: fresh while trainings shall stand still; see `fine_tuning.training.pausing`."""
    return folder / ".pause"


def job_variables(folder: Path) -> dict[str, str]:
    """What the environment of this job's processes has besides that of every child."""
    from fine_tuning.training.pausing import METRICS_FILE, PAUSE_FILE

    files = {PAUSE_FILE: str(pause_file(folder.parent)), METRICS_FILE: str(folder / "metrics.jsonl")}
    return files | {name: os.environ[name] for name in HUB_VARIABLES if name in os.environ}


def write_json(path: Path, value: Any) -> None:
    """Durable, and in one step.

    Raises:
        OSError.
    """
    write_whole(path, json.dumps(value, indent=1))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
