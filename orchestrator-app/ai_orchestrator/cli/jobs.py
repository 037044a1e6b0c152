"""`orchestrator train`, `eval` and `jobs`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.advice import complete
from ai_orchestrator.cli.exits import FAILED, INTERRUPTED, OK
from ai_orchestrator.cli.options import make_settings
from ai_orchestrator.jobs.job import Job, Kind
from ai_orchestrator.jobs.runner import JobRunner
from ai_orchestrator.jobs.store import JobStore
from ai_orchestrator.jobs.watching import JobWatcher

LOOK_S = 0.3


def _job_command(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--detach", is_flag=True, help="Do not wait for it; needs a running server."),
        click.option(
            "-o", "--option", "given", nargs=2, multiple=True, metavar="KEY VALUE", help="Once for each."
        ),
        click.option(
            "-m",
            "--model",
            default="builtin",
            show_default=True,
            help="NAME:VERSION, or owner/name of the hub.",
        ),
        click.argument("dataset"),
    ):
        function = option(function)
    return settings_options(function)


@click.command(short_help="Fine-tune a model on a dataset, as a job.")
@_job_command
def train(**arguments: Any) -> int:
    """Fine-tune a model on DATASET, a JSON or JSONL file or the name of an uploaded one.

    KEY VALUE are keys of the recipe: num_epochs, learning_rate, lora_r, and so on. Questions pause it.
    """
    return _submit("train", **arguments)


@click.command("eval", short_help="Evaluate a model on a dataset, as a job.")
@_job_command
def evaluate(**arguments: Any) -> int:
    """Evaluate a model on DATASET: exact match, F1 and length."""
    return _submit("eval", **arguments)


@click.group(short_help="Trainings and evaluations: list, watch, cancel.")
def jobs() -> None:
    """Trainings and evaluations: list, watch, cancel."""


@jobs.command("list", short_help="All jobs, the newest first.")
@json_option
@settings_options
def list_jobs(as_json: bool, config: str | None, data: str | None) -> None:
    """All jobs, the newest first."""
    from ai_orchestrator.jobs.schemas import JobAnswer

    listed = [JobAnswer.of(job) for job in reversed(JobStore(make_settings(config, data)).all())]
    if as_json:
        terminal.write_json([job.model_dump(mode="json") for job in listed])
        return
    rows = [(job.job_id, job.kind, job.state, job.model, job.dataset, job.problem or "") for job in listed]
    terminal.write_table(("job", "kind", "state", "model", "dataset", ""), rows)


@jobs.command(short_help="Show a job's log until it ends.")
@click.argument("job_id")
@settings_options
def watch(job_id: str, config: str | None, data: str | None) -> int:
    """Show a job's log until it ends. Ctrl-C ends the watching only."""
    return _follow(JobStore(make_settings(config, data)).find(job_id), None)


@jobs.command(short_help="End a job.")
@click.argument("job_id")
@settings_options
def cancel(job_id: str, config: str | None, data: str | None) -> None:
    """End a job. A training ends after its step and leaves a checkpoint."""
    job = JobStore(make_settings(config, data)).find(job_id)
    job.cancel()
    click.echo(f"{job.request.job_id} is {job.state}; it was asked to end.")


@jobs.command(short_help="Forget a job that has ended, with its output.")
@click.argument("job_id")
@settings_options
def remove(job_id: str, config: str | None, data: str | None) -> None:
    """Forget a job that has ended, with its output."""
    JobStore(make_settings(config, data)).delete(job_id)
    click.echo(f"Removed {job_id}.")


def _submit(
    kind: Kind,
    dataset: str,
    model: str,
    given: tuple[tuple[str, str], ...],
    detach: bool,
    config: str | None,
    data: str | None,
) -> int:
    from ai_orchestrator.cli.link.server import running_server

    settings = make_settings(config, data)
    store = JobStore(settings)
    server = running_server(settings)
    if server is None and detach:
        raise click.UsageError("Without a running server nobody would start the job; leave --detach out.")
    name = _kept(store, dataset)
    options = {key: _value(value) for key, value in given}
    if server is None:
        job = store.create(kind, model, name, options)
    else:
        with server:
            body = {"kind": kind, "model": model, "dataset": name, "options": options}
            job = store.find(server.call("POST", "/jobs", body=body)["job_id"])
    terminal.note(f"Job {job.request.job_id}")
    if detach:
        terminal.note(complete(f"To watch it: `orchestrator jobs watch {job.request.job_id}`"))
        return OK
    if server is not None:
        return _follow(job, job.cancel)
    with _running_here(store):
        return _follow(job, job.cancel)


@contextmanager
def _running_here(store: JobStore) -> Iterator[None]:
    """No server runs: this command starts what waits."""
    runner = JobRunner(store, busy=lambda: False, idle_s=0.0)
    runner.start()
    try:
        yield
    finally:
        runner.close()


def _follow(job: Job, on_interrupt: Callable[[], None] | None) -> int:
    """
    Args:
        on_interrupt: what the first Ctrl-C does; the second one, or any without it, ends the watching.
    """
    watcher = JobWatcher(job)
    interrupted = False
    while not watcher.ended:
        try:
            for event in watcher.events():
                if event.kind == "log":
                    terminal.write(event.data["text"])
                elif event.data.get("done"):
                    terminal.note(
                        f"{event.data['state']}{': ' if event.data['problem'] else ''}{event.data['problem'] or ''}"
                    )
            if not watcher.ended:
                time.sleep(LOOK_S)
        except KeyboardInterrupt:
            if interrupted or on_interrupt is None:
                return INTERRUPTED
            on_interrupt()
            interrupted = True
    if interrupted:
        return INTERRUPTED
    return OK if job.state == "SUCCESS" else FAILED


def _kept(store: JobStore, dataset: str) -> str:
    """The name of the dataset among the uploaded ones; a file becomes one."""
    path = Path(dataset).expanduser()
    if not path.is_file():
        store.datasets.path(dataset)
        return dataset
    content = path.read_bytes()
    stem = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in path.stem)[
        :60
    ].strip("-")
    suffix = ".jsonl" if path.suffix.lower() == ".jsonl" else ".json"
    digest = hashlib.sha256(content).hexdigest()[:8]
    return store.datasets.keep(f"{stem or 'dataset'}-{digest}{suffix}", content).name


def _value(text: str) -> Any:
    """A flag's text as the JSON value it spells, else as it stands."""
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text
