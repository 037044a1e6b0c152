"""The process of one job: `python -m ai_orchestrator.jobs.child FOLDER`.

It starts the work as a process of its own, with its output in the log, and notes how that ended. It belongs to no server:
one that is stopped and started again finds it at work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import psutil
from shared_context.child_environment import child_environment
from shared_context.storage.identity import now

from ai_orchestrator.jobs.job import JobRequest, job_variables, write_json

GRACE_S = 120.0
"""After a signal, for a checkpoint; then the work is killed."""


def main(folder: Path) -> int:
    """
    Returns:
        The work's exit code; 0 also where another process works on this job already.
    """
    if not _claimed(folder):
        return 0
    request = JobRequest.model_validate_json((folder / "job.json").read_bytes())
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        work.send_signal(signal.SIGINT)
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)

    def end(number: int, frame: FrameType | None) -> None:
        work.kill()

    with (folder / "log.txt").open("ab") as log:
        # The output folder has the job's other files beside it: what the work names relatively lands there.
        (folder / "output").mkdir(exist_ok=True)
        work = subprocess.Popen(  # noqa: S603
            request.arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder / "output",
            env=child_environment(job_variables(folder)),
        )
        signal.signal(signal.SIGINT, ask)
        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGALRM, end)
        if (folder / "cancelled").exists():
            work.send_signal(signal.SIGINT)
        code = work.wait()
    write_json(folder / "result.json", {"exit_code": code, "ended_at": now(), "asked_to_end": asked})
    return code


def _claimed(folder: Path) -> bool:
    """Whether this process, and no other, works on the job from now on."""
    me = psutil.Process()
    note = folder / f".process-{me.pid}.json"
    write_json(note, {"pid": me.pid, "created": me.create_time(), "started_at": now()})
    try:
        os.link(note, folder / "process.json")  # whole, and only if there is none
    except FileExistsError:
        return False
    finally:
        note.unlink()
    return True


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
