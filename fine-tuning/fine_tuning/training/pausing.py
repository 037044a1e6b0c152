"""A training that gives way: paused at a step boundary while somebody asks, told of from outside.

Who wants the machine makes a file and touches it again and again; whoever trains stands still while it is fresh. A file
that nobody touches any more holds nothing up, so that a dead server does not stop a training for good.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAUSE_FILE = "ORCHESTRATOR_PAUSE_FILE"
"""Environment variable: the file that pauses."""

METRICS_FILE = "ORCHESTRATOR_METRICS_FILE"
"""Environment variable: where each logged step goes, as a line of JSON."""

FRESH_S = 30.0
LOOK_S = 0.2


def is_paused(file: Path, now: Callable[[], float] = time.time) -> bool:
    """Whether somebody touched the file lately."""
    try:
        return now() - file.stat().st_mtime < FRESH_S
    except OSError:
        return False


def wait_while_paused(
    file: Path | None,
    *,
    unless: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Stand still while the file is fresh; returns for how many seconds.

    Args:
        file: None: nobody can pause this.
        unless: the training shall end.
    """
    began = time.monotonic()
    while file is not None and is_paused(file) and not unless():
        sleep(LOOK_S)
    return time.monotonic() - began


def supervised(unless: Callable[[], bool] = lambda: False) -> list[Any]:
    """The trainer's callbacks for what the environment asks for; none without it.

    Args:
        unless: see `wait_while_paused`.
    """
    pause, metrics = os.environ.get(PAUSE_FILE), os.environ.get(METRICS_FILE)
    if not (pause or metrics):
        return []
    from transformers import TrainerCallback

    class Supervised(TrainerCallback):  # type: ignore[misc]  # untyped library
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            wait_while_paused(Path(pause) if pause else None, unless=unless)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if metrics and state.is_world_process_zero:
                line = json.dumps(
                    {"step": state.global_step, "of": state.max_steps, **(logs or {})}, default=float
                )
                with Path(metrics).open("a", encoding="utf-8") as stream:
                    stream.write(line + "\n")

    return [Supervised()]
