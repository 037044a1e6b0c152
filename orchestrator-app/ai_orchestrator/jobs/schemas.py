"""Bodies of `/datasets` and `/jobs`."""

from __future__ import annotations

from typing import Any, Literal

from orchestrator_http.schemas.common import Answer, Body, Parameters
from pydantic import BaseModel, Field

from ai_orchestrator.jobs.datasets import NAME
from ai_orchestrator.jobs.job import Job, JobState


class DatasetPath(Parameters):
    name: str = Field(pattern=NAME)


class DatasetAnswer(Answer):
    name: str
    size: int = Field(description="Bytes.")
    sha256: str
    examples: int


class DatasetsAnswer(BaseModel):
    datasets: list[DatasetAnswer]


class JobPath(Parameters):
    job_id: str = Field(pattern=r"^[0-9a-f-]{36}$")


class JobBody(Body):
    kind: Literal["train", "eval"]
    dataset: str = Field(pattern=NAME, description="Name of an uploaded one.")
    model: str = Field(
        min_length=1,
        max_length=200,
        description="A reference of the registry, `builtin`, or owner/name of the hub.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Keys of a training's recipe (docs/learning.md), or of an evaluation.",
    )


class From(Parameters):
    start: int = Field(
        0, ge=0, alias="from", description="Offset in the log, in bytes: the `id` of the last event."
    )


class JobAnswer(BaseModel):
    job_id: str
    kind: Literal["train", "eval"]
    state: JobState
    model: str
    dataset: str
    options: dict[str, Any]
    created_at: str
    ended_at: str | None
    exit_code: int | None
    problem: str | None = Field(description="Why it failed.")
    output: str = Field(description="Folder on the desktop: checkpoints, adapter, metrics.")

    @classmethod
    def of(cls, job: Job) -> JobAnswer:
        request, result = job.request, job.result or {}
        return cls(
            job_id=request.job_id,
            kind=request.kind,
            state=job.state,
            model=request.model,
            dataset=request.dataset,
            options=request.options,
            created_at=request.created_at,
            ended_at=result.get("ended_at"),
            exit_code=result.get("exit_code"),
            problem=job.problem,
            output=str(job.output),
        )


class JobsAnswer(BaseModel):
    jobs: list[JobAnswer]
