"""The jobs of a data folder: making, finding, starting and forgetting them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from orchestrator_core.errors import Conflict, NotFound, Overloaded
from orchestrator_core.settings import Settings
from pydantic import ValidationError
from shared_context.child_environment import child_environment
from shared_context.storage.identity import new_id, now
from shared_context.storage.sqlite_errors import translated_system

from ai_orchestrator.jobs.commands import arguments_of
from ai_orchestrator.jobs.datasets import Datasets
from ai_orchestrator.jobs.job import Job, JobRequest, JobState, Kind, job_variables, pause_file, write_json

MAX_QUEUED = 100


class JobStore:
    """
    Args:
        settings: `data` and the models are looked at.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.folder = settings.data / "jobs"
        self.datasets = Datasets(settings.data / "datasets")

    @property
    def pause_file(self) -> Path:
        """Fresh while trainings shall stand still; see `fine_tuning.training.pausing`."""
        return pause_file(self.folder)

    def create(self, kind: Kind, model: str, dataset: str, options: dict[str, Any]) -> Job:
        """A queued job.

        Args:
            dataset: name of an uploaded one.

        Raises:
            InvalidRequest, NotFound: see `arguments_of`. Overloaded: too many wait. StoreError.
        """
        if sum(job.state is JobState.QUEUED for job in self.all()) >= MAX_QUEUED:
            raise Overloaded(f"{MAX_QUEUED} jobs are waiting already.")
        job_id = new_id()
        folder = self.folder / job_id
        path = self.datasets.path(dataset)
        request = JobRequest(
            job_id=job_id,
            kind=kind,
            model=model,
            dataset=dataset,
            options=options,
            arguments=arguments_of(self._settings, kind, model, path, options, folder / "output"),
            created_at=now(),
        )
        with translated_system(folder):
            folder.mkdir(parents=True, mode=0o700)
            try:
                write_json(folder / "job.json", request.model_dump(mode="json"))
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return Job(request, folder)

    def all(self) -> list[Job]:
        """The oldest first."""
        folders = sorted(self.folder.glob("*/job.json")) if self.folder.is_dir() else []
        return [job for file in folders if (job := _job(file.parent)) is not None]

    def find(self, job_id: str) -> Job:
        """
        Raises:
            NotFound.
        """
        job = _job(self.folder / job_id) if re.fullmatch(r"[0-9a-f-]{36}", job_id) else None
        if job is None:
            raise NotFound(f"There is no job {job_id[:80]!r}.", hint="`orchestrator jobs list` shows them.")
        return job

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended, with its output.

        Raises:
            NotFound. Conflict: it has not ended.
        """
        job = self.find(job_id)
        if not job.state.ended:
            raise Conflict(
                "This job has not ended.", hint=f"Cancel it first: `orchestrator jobs cancel {job_id}`"
            )
        shutil.rmtree(job.folder, ignore_errors=True)

    def begin(self, job: Job) -> subprocess.Popen[bytes]:
        """Start the job's own process, which outlives this one.

        Raises:
            OSError.
        """
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "ai_orchestrator.jobs.child", str(job.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=child_environment(job_variables(job.folder)),
        )


def _job(folder: Path) -> Job | None:
    try:
        return Job(JobRequest.model_validate_json((folder / "job.json").read_bytes()), folder)
    except (OSError, ValidationError):
        return None
