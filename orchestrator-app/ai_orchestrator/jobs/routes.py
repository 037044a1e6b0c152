"""`/datasets` and `/jobs`: the desktop's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from flask import Response, g, request
from orchestrator_http import sse
from orchestrator_http.api import EVENTS, Api
from orchestrator_http.bodies import whole_body
from orchestrator_http.completions.watching import PING_S, ClientGone, disconnect_check, stopping
from orchestrator_http.problems import Problem
from orchestrator_http.services import Services, services

from ai_orchestrator.jobs.datasets import MAX_BYTES
from ai_orchestrator.jobs.runner import JobRunner
from ai_orchestrator.jobs.schemas import (
    DatasetAnswer,
    DatasetPath,
    DatasetsAnswer,
    From,
    JobAnswer,
    JobBody,
    JobPath,
    JobsAnswer,
)
from ai_orchestrator.jobs.watching import JobWatcher

LOOK_S = 0.5


def jobs_apis(runner: JobRunner) -> list[Api]:
    """The routes, around one runner."""
    return [_datasets(runner), _jobs(runner)]


def _datasets(runner: JobRunner) -> Api:
    api = Api("datasets", scope="admin")
    datasets = runner.store.datasets

    @api.route("GET", "/datasets", summary="The uploaded datasets", errors=(422,))
    def index() -> DatasetsAnswer:
        return DatasetsAnswer(datasets=[DatasetAnswer.model_validate(each) for each in datasets.all()])

    @api.route("PUT", "/datasets/<name>", summary="Upload a dataset", errors=(404, 409, 413, 422, 507))
    def upload(path: DatasetPath) -> DatasetAnswer:
        """The body is the file, JSON or JSONL, at most 8 MiB. Every fault is told with its line, and nothing is kept
        then. The same file again changes nothing."""
        request.max_content_length = MAX_BYTES
        return DatasetAnswer.model_validate(datasets.keep(path.name, whole_body(request)))

    @api.route("GET", "/datasets/<name>", summary="One dataset", errors=(404, 422))
    def show(path: DatasetPath) -> DatasetAnswer:
        return DatasetAnswer.model_validate(datasets.describe(path.name))

    @api.route("DELETE", "/datasets/<name>", summary="Delete a dataset", errors=(404, 422))
    def delete(path: DatasetPath) -> DatasetsAnswer:
        """Jobs that wait for it will fail."""
        datasets.delete(path.name)
        return index()  # type: ignore[no-any-return]

    return api


def _jobs(runner: JobRunner) -> Api:
    api = Api("jobs", scope="admin")
    store = runner.store

    @api.route("GET", "/jobs", summary="All jobs, the newest first", quiet=True)
    def index() -> JobsAnswer:
        return JobsAnswer(jobs=[JobAnswer.of(job) for job in reversed(store.all())])

    @api.route("POST", "/jobs", summary="Train or evaluate", status=201, errors=(404, 429, 503, 507))
    def create(body: JobBody) -> JobAnswer:
        """It waits for those before it. While answers are produced a training stands still at the end of its step."""
        job = store.create(body.kind, body.model, body.dataset, body.options)
        runner.changed()
        return JobAnswer.of(job)

    @api.route("GET", "/jobs/<job_id>", summary="One job", errors=(404,))
    def show(path: JobPath) -> JobAnswer:
        return JobAnswer.of(store.find(path.job_id))

    @api.route("POST", "/jobs/<job_id>/cancel", summary="End a job", status=202, errors=(404, 507))
    def cancel(path: JobPath) -> JobAnswer:
        """A training ends after its step and leaves a checkpoint. One that has ended stays as it is."""
        job = store.find(path.job_id)
        job.cancel()
        runner.changed()
        return JobAnswer.of(job)

    @api.route("DELETE", "/jobs/<job_id>", summary="Forget a job that has ended", errors=(404, 409))
    def delete(path: JobPath) -> JobsAnswer:
        """With its output."""
        store.delete(path.job_id)
        return index()  # type: ignore[no-any-return]

    @api.route("GET", "/jobs/<job_id>/events", summary="Watch a job", errors=(404, 429, 503), media=(EVENTS,))
    def events(path: JobPath, query: From) -> Response:
        """Its log as `{"text"}`, with the offset behind it as `id`; `event: metrics` for each logged step;
        `event: state`, the last of them with `"done": true`. `Last-Event-ID` works as `from`."""
        here = services()
        last = request.headers.get("Last-Event-ID", "")
        start = int(last) if last.isdecimal() and len(last) < 16 else query.start
        watcher = JobWatcher(store.find(path.job_id), start)
        places = here.places
        places.take()
        frames = _frames(here, watcher, disconnect_check(request.environ))
        return sse.stream(frames, on_close=places.give_back, on_problem=_error, request_id=g.request_id)

    return api


def _frames(here: Services, watcher: JobWatcher, gone: Callable[[], bool]) -> Iterator[bytes]:
    """
    Raises:
        ClientGone, ServerStopping.
    """
    spoke = time.monotonic()
    yield sse.comment("job")
    while True:
        for event in watcher.events():
            spoke = time.monotonic()
            yield sse.frame(
                event.data, event_id=event.offset, event=None if event.kind == "log" else event.kind
            )
        if watcher.ended:
            return
        if gone():
            raise ClientGone
        if here.closing.wait(LOOK_S):
            raise stopping()
        if time.monotonic() - spoke >= PING_S:
            spoke = time.monotonic()
            yield sse.PING


def _error(problem: Problem) -> Iterator[bytes]:
    yield sse.frame(problem.body(), event="error")
