"""One job after the other, and none while somebody waits for an answer."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from shared_context.storage.identity import now

from ai_orchestrator.jobs.job import Job, JobState, write_json
from ai_orchestrator.jobs.store import JobStore

TICK_S = 0.2
"""How soon a question pauses a training, and how soon the next job begins."""

_log = logging.getLogger(__name__)


class JobRunner:
    """Starts queued jobs, one at a time, and holds the running one up while answers are produced. Stopping it leaves
    the running job at work; the next runner takes it up.

    Args:
        busy: whether somebody waits for an answer.
        idle_s: a job goes on when nobody did for so long.
    """

    def __init__(
        self,
        store: JobStore,
        busy: Callable[[], bool],
        *,
        idle_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._busy = busy
        self._idle_s = idle_s
        self._clock = clock
        self._busy_at = -float("inf")
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="job-runner", daemon=True)
        self._closed = False

    def start(self) -> None:
        self._thread.start()

    def changed(self) -> None:
        """There is a new job."""
        with self._wake:
            self._wake.notify_all()

    def close(self) -> None:
        """Leave the running job at work. Idempotent."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        for process in self._started.values():
            if process.poll() is None:
                process.returncode = 0  # disowned: nobody here waits for it any more

    def tick(self) -> bool:
        """Do what is due now; whether there is a job that has not ended."""
        self._reap()
        waiting = [job for job in self.store.all() if not job.state.ended]
        if not waiting:
            self.store.pause_file.unlink(missing_ok=True)
            return False
        paused = self._give_way()
        working = any(job.state is JobState.RUNNING for job in waiting)
        if not working and not self._started and not paused:
            self._begin(waiting[0])
        return True

    def _give_way(self) -> bool:
        """Hold trainings up, or let them go on; whether they stand still."""
        busy = self._busy()
        if busy:
            self._busy_at = self._clock()
        paused = busy or self._clock() - self._busy_at < self._idle_s
        with suppress(OSError):
            if paused:
                self.store.pause_file.touch()
            else:
                self.store.pause_file.unlink(missing_ok=True)
        return paused

    def _begin(self, job: Job) -> None:
        try:
            self._started[job.request.job_id] = self.store.begin(job)
            _log.info("Job %s (%s) begins.", job.request.job_id, job.request.kind)
        except OSError as error:
            _log.error("Job %s cannot be started: %s", job.request.job_id, error)
            self._fail(job, str(error))

    def _reap(self) -> None:
        for job_id, process in list(self._started.items()):
            if process.poll() is None:
                continue
            del self._started[job_id]
            with suppress(Exception):
                job = self.store.find(job_id)
                if job.state is JobState.QUEUED:  # it never came to note itself
                    self._fail(job, f"Its process ended at once, with exit code {process.returncode}.")
                _log.info("Job %s: %s.", job_id, job.state)

    def _fail(self, job: Job, reason: str) -> None:
        with suppress(OSError):
            with job.log.open("a", encoding="utf-8") as log:
                log.write(f"{reason}\n")
            write_json(job.folder / "result.json", {"exit_code": 1, "ended_at": now()})

    def _run(self) -> None:
        while not self._closed:
            try:
                under_way = self.tick()
            except Exception:
                _log.exception("Looking after the jobs failed")
                under_way = True
            with self._wake:
                if not self._closed:
                    self._wake.wait(TICK_S if under_way else None)
