"""What a run needs around it in tests: a spec, a memory for answers, and clients that lose
their connection."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from orchestrator_core.backend import Prompt
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.runs.manager import RunManager
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.spec import RunEvent, RunResult, RunSpec
from shared_context.storage.identity import new_id

TEXT = "one two three four five six"


def make_spec(question: str = "question", **fields: Any) -> RunSpec:
    defaults: dict[str, Any] = {
        "run_id": new_id(),
        "prompt": Prompt.raw(question),
        "config": GenerationConfig(max_new_tokens=512),
        "conversation_id": "default",
        "message_id": new_id(),
        "reply_to": None,
        "tier": "desktop",
        "model": "scripted",
        "reason": "the only tier there is",
        "receipt": {"tier": "desktop"},
    }
    return RunSpec(**{**defaults, **fields})


class Answers:
    """Stores answers as a conversation does: once per message id. Counts how often it was asked."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.specs: dict[str, RunSpec] = {}
        self.results: list[RunResult] = []
        self.trouble: list[Exception] = []
        """Raised by one call each, before one succeeds."""
        self._lock = threading.Lock()

    def __call__(self, spec: RunSpec, result: RunResult) -> dict[str, Any]:
        with self._lock:
            if self.trouble:
                raise self.trouble.pop(0)
            self.texts.setdefault(spec.message_id, result.text)
            self.specs.setdefault(spec.message_id, spec)
            self.results.append(result)
        return {"stored": True}


class RunClient:
    """Keeps the text of a run as a browser does: from events, reconnecting where it left off."""

    def __init__(self) -> None:
        self.offset = 0
        self.tokens: list[tuple[int, str]] = []
        self.final: RunEvent | None = None

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.tokens)

    def see(self, events: Iterable[RunEvent | None]) -> None:
        for event in events:
            if event is None:
                continue
            assert event.offset > self.offset, "an offset came twice or went back"
            self.offset = event.offset
            if event.kind == "token":
                self.tokens.append((event.offset, event.data["token"]))
            elif event.kind == "seam" and "from" in event.data:
                self.tokens = [token for token in self.tokens if token[0] <= event.data["from"]]
            elif event.final:
                self.final = event

    def read(self, run: Run, most: int) -> None:
        """Connect, look at no more than `most` events that are there already, and disconnect."""
        events = run.events(self.offset, timeout=0)
        for _, event in zip(range(most), events, strict=False):
            if event is None:
                return
            self.see([event])

    def follow(self, run: Run) -> None:
        """Connect and stay until the stream ends."""
        self.see(run.events(self.offset))


def wait_for_offset(run: Run, offset: int, timeout: float = 10.0) -> None:
    """Until the run has an event with this offset."""
    for event in run.events(offset - 1, timeout=timeout):
        assert event is not None, f"nothing came in {timeout} s"
        return
    raise AssertionError("the run ended before that")


def wait_until_idle(manager: RunManager) -> None:
    """Until it has written down the end of every run."""
    with manager._changed:
        assert manager._changed.wait_for(lambda: not manager._live, 10)
