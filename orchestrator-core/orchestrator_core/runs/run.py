"""One run: watched and stopped by anybody, produced by one thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import Protocol

from shared_context.storage.identity import now

from orchestrator_core.backend import Prompt
from orchestrator_core.errors import ServerStopping
from orchestrator_core.runs.continuation import worth_storing
from orchestrator_core.runs.event_log import Entry, EventLog
from orchestrator_core.runs.spec import RunEvent, RunResult, RunSpec, RunState
from orchestrator_core.runs.store import RunRecord


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class Run:
    """An answer being produced, or one that was. All methods are safe from any thread."""

    def __init__(self, spec: RunSpec, log: EventLog | None = None, *, produced: int = 0) -> None:
        self.spec = spec
        self.created_at = now()
        self.finished_at: str | None = None
        self.log = EventLog() if log is None else log
        self.flushed = len(self.log)
        """Events that are in the store; kept by the flusher, as is the next."""
        if spec.continues and spec.relayed is None and not len(self.log):
            self.log.append(spec.continues)
        self.woken = threading.Event()
        """Set when somebody wants the run to stop; ends every wait of the producer."""
        self.flushed_spec = spec
        self._lock = threading.Lock()
        self._state = RunState.QUEUED
        self._produced = produced
        self._token_events = self.log.count_tokens()
        self._generation: Cancellable | None = None
        self._cancelled = False
        self._interrupted = False
        self._concluded: RunResult | None = None
        self._result: RunResult | None = None

    @classmethod
    def replayed(cls, stored: RunRecord) -> Run:
        """A run that is over, as the store remembers it."""
        run = cls(stored.spec, EventLog(stored.events), produced=stored.produced)
        run.created_at, run.finished_at = stored.created_at, stored.finished_at
        if stored.result is None:
            run.interrupt()
            run.settle(None, run.interrupted())
        else:
            run.conclude(stored.result)
            run.settle(None, run.completed(stored.result))
        return run

    # For those who watch

    @property
    def run_id(self) -> str:
        return self.spec.run_id

    @property
    def state(self) -> RunState:
        with self._lock:
            return self._state

    @property
    def text(self) -> str:
        """The answer so far: all tokens joined."""
        return self.log.text

    @property
    def thoughts(self) -> str:
        """What the model thought so far."""
        return self.log.thoughts

    def events(self, after: int = 0, timeout: float | None = None) -> Iterator[RunEvent | None]:
        """The events after an offset: those there are, then those that come, as they come.

        Ends after a final event (`done`, `error`), or without one when the server shuts down:
        the run then continues after the restart, from the same offset. Any number of watchers
        may follow at any speed; each sees the same events.

        Args:
            after: last offset already seen; 0 for everything. Who has seen more than survived
                a crash gets a seam first that says what to discard (see `RunEvent`).
            timeout: seconds without news after which None is yielded, so that the caller can
                show that the connection lives.
        """
        return self.log.follow(after, timeout)

    def cancel(self) -> None:
        """Stop within one token; text already there is kept and stored. Harmless when over."""
        with self._lock:
            self._cancelled = True
            generation = self._generation
        self.woken.set()
        if generation is not None:
            generation.cancel()

    def wait(self, timeout: float | None = None) -> RunResult:
        """The result, when the run is over.

        Raises:
            TimeoutError: it was not over within `timeout` seconds.
        """
        if not self.log.wait_closed(timeout) or self._result is None:
            raise TimeoutError(f"The run {self.run_id} is still {self.state}.")
        return self._result

    @property
    def result(self) -> RunResult | None:
        """What came out of it, once it is over."""
        return self._result

    # For the one that produces

    @property
    def produced(self) -> int:
        """Tokens shown; where the backend does not count them, pieces of text."""
        with self._lock:
            return self._tokens()

    @property
    def has_text(self) -> bool:
        with self._lock:
            return self._token_events > 0

    @property
    def cancelled(self) -> bool:
        with self._lock:
            return self._cancelled

    @property
    def stop_wanted(self) -> bool:
        """Whether it was cancelled or interrupted."""
        with self._lock:
            return self._cancelled or self._interrupted

    def interrupt(self) -> None:
        """Stop because the server stops: the run stays unfinished, to be recovered."""
        with self._lock:
            self._interrupted = True
            generation = self._generation
        self.woken.set()
        if generation is not None:
            generation.cancel()

    @contextmanager
    def producing(self, generation: Cancellable) -> Iterator[None]:
        """While the block runs, stopping the run cancels this generation."""
        with self._lock:
            self._generation = generation
        if self.stop_wanted:
            generation.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._generation = None

    def respec(self, spec: RunSpec) -> None:
        """Go on with another prompt, tier or message id; written down with the next flush."""
        with self._lock:
            self.spec = spec

    def show(self, text: str, count: int) -> None:
        """Add a token. Text and count change together, so that a flush never splits them."""
        with self._lock:
            self._state = RunState.RUNNING
            self._produced += count
            self._token_events += 1
            self.log.append(text)

    def think(self, text: str, count: int) -> None:
        """Add what the model thinks: it is seen, and no part of the answer."""
        with self._lock:
            self._state = RunState.RUNNING
            self._produced += count
            self.log.append(("thinking", {"thinking": text}))

    def conclude(self, result: RunResult) -> None:
        """Production is over; the answer is about to be stored."""
        with self._lock:
            self._concluded = result

    def settle(self, final: Entry | None, result: RunResult, *, recoverable: bool = False) -> None:
        """Everything is over, for this process at least.

        Args:
            final: the last event; None when there is one already, or none in this process.
            recoverable: leave the stored run unfinished, for the next start to look at.
        """
        with self._lock:
            self._state = result.state
            self._result = result
            if result.state.final and not recoverable and self.finished_at is None:
                self.finished_at = now()
        if final is not None:
            self.log.append(final)
        self.log.close()

    def without_prompt(self) -> Run:
        """The same run, which is over, without what may be the largest part of it by far."""
        light = copy(self)
        light.spec = light.flushed_spec = replace(self.spec, prompt=Prompt(()), shown="", relayed=None)
        return light

    def completed(self, result: RunResult) -> RunResult:
        """The result with the run's text, and with the id of the message that this becomes."""
        whole = replace(result, text=self.text)
        return replace(whole, message_id=self.spec.message_id) if worth_storing(whole) else whole

    def interrupted(self) -> RunResult:
        """What there is when the server shuts down."""
        return RunResult(self.state, None, error=interrupted(), text=self.text)

    def record(self) -> RunRecord:
        """What the store does not know yet."""
        with self._lock:
            return RunRecord(
                spec=self.spec,
                state=self._state,
                events=self.log.entries(self.flushed),
                produced=self._tokens(),
                result=self._concluded,
                finished_at=self.finished_at,
                respecced=self.spec is not self.flushed_spec,
            )

    def _tokens(self) -> int:
        return self._produced or self._token_events - bool(self.spec.continues and self._token_events)


def interrupted() -> ServerStopping:
    """Said to who waits for a run while the server shuts down."""
    return ServerStopping(
        "The server is stopping; the answer continues when it is back.",
        hint="Ask for the run again in a few seconds.",
    )
