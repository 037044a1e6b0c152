"""Starts, finds, recovers and ends runs."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from shared_context.errors import StoreError

from orchestrator_core.backend import ChatBackend, Usage
from orchestrator_core.errors import NotFound, OrchestratorError, Overloaded
from orchestrator_core.runs.continuation import RetryPolicy
from orchestrator_core.runs.event_log import EventLog
from orchestrator_core.runs.flusher import FLUSH_INTERVAL_S, Flusher
from orchestrator_core.runs.producer import OnFinish, Pause, Producer, pause
from orchestrator_core.runs.run import Run, interrupted
from orchestrator_core.runs.source import BackendSource, Source
from orchestrator_core.runs.spec import RunResult, RunSpec, RunState
from orchestrator_core.runs.store import RunRecord, RunStore

MAX_LIVE = 128
"""Runs at once, each with a thread. Above the engine's own queue (8 running, 64 waiting), so
that its more precise refusal comes first. Measured with 100 runs of 50 tokens/s, each written
down and watched: 8 MB and 76 µs of processor time per token, all threads together."""
RECENT = 64
"""Finished runs kept in memory for those who reconnect soon, also ones that are not durable."""
MAX_RECOVERIES = 3
"""Restarts of the server that one run may cause before it is taken to be their reason."""
PRUNE_EVERY = 100
"""Finished runs between two clean-ups of the store."""
STOP_S = 5.0
"""How long an interrupted run may take to notice."""

_log = logging.getLogger(__name__)


class RunManager:
    """All runs of one server. Safe to use from any thread.

    Args:
        store: where durable runs are written down; stays open when the manager is closed.
        backend: produces the text; stays open too.
        tier: this server's tier, named in seams.
        on_finish: stores an answer (see `producer.OnFinish`).
    """

    def __init__(
        self,
        store: RunStore,
        backend: ChatBackend,
        *,
        tier: str,
        on_finish: OnFinish,
        max_live: int = MAX_LIVE,
        policy: RetryPolicy | None = None,
        pause: Pause = pause,
        flush_interval_s: float = FLUSH_INTERVAL_S,
    ) -> None:
        self._store = store
        self._own = BackendSource(backend, tier)
        self._on_finish = on_finish
        self._max_live = max_live
        self._policy = RetryPolicy() if policy is None else policy
        self._pause = pause
        self._flusher = Flusher(store, flush_interval_s)
        self._changed = threading.Condition()
        self._live: dict[str, tuple[Run, threading.Thread]] = {}
        self._recent: OrderedDict[str, Run] = OrderedDict()
        self._finished = 0
        self._closing = False

    def ensure_room(self) -> None:
        """For who wants to know before storing a question.

        Raises:
            Overloaded: `max_live` runs are under way.
            ServerStopping: the server is shutting down.
        """
        with self._changed:
            self._refuse()

    @property
    def own_source(self) -> Source:
        """The model of this tier."""
        return self._own

    def start(self, spec: RunSpec, source: Source | None = None) -> Run:
        """Begin a run; returns at once. An id that is known already returns that run.

        Args:
            source: says the tokens, and is closed when they have been said, or when it is not
                needed; default: this tier's model.

        What the backend refuses (a prompt too long, a full queue) is the run's error.

        Raises:
            Overloaded, ServerStopping: see `ensure_room`.
            StoreError: a durable run cannot be written down.
        """
        source = self._own if source is None else source
        run = Run(spec)
        thread = self._thread(run, self._producer(run, source).produce, source)
        try:
            started = self._begin(run, thread)
        except BaseException:
            source.close()
            raise
        if started is not run:
            source.close()
        return started

    def get(self, run_id: str) -> Run:
        """A live run, or one that is over, with all its events.

        Raises:
            NotFound: unknown, or finished so long ago that it was forgotten.
        """
        with self._changed:
            known = self._known(run_id)
        if known is not None:
            return known
        stored = self._store.load(run_id)
        if stored is None:
            raise NotFound(
                f"There is no run {run_id[:64]!r}.",
                hint="Finished runs are kept for a week; their answers stay in the conversation.",
            )
        return Run.replayed(stored)

    def adopt(self, stored: RunRecord) -> Run:
        """A run that is over and that this manager has not seen: it can be found for a while."""
        run = Run.replayed(stored)
        with self._changed:
            self._recent[run.run_id] = run
            self._forget_old()
        return run

    def active(self) -> list[Run]:
        """Runs that are not over, oldest first."""
        with self._changed:
            return [run for run, _ in self._live.values()]

    def recover(self, source_of: Callable[[RunSpec], Source | None] = lambda spec: None) -> list[Run]:
        """Continue what an earlier process left unfinished. Call once, before the first `start`.

        Args:
            source_of: the source of such a run; None: this tier's model.

        What cannot be written down now, on a full disk, is left for the next start.

        Raises:
            StoreError: the store cannot be read.
        """
        self._prune()
        runs = []
        for run_id in self._store.unfinished():
            try:
                runs.append(self._recover(run_id, source_of))
            except StoreError as error:
                _log.warning("Run %s cannot be recovered now: %s", run_id, error)
            except (ValueError, TypeError, KeyError):
                # One unreadable row must not keep the server from starting every time.
                _log.exception("Run %s cannot be recovered", run_id)
                self._store.give_up(run_id)
        return runs

    def forget(self, about: Callable[[RunSpec], bool]) -> int:
        """Leave nothing of the runs that are over and whose spec fits; how many others fit, which are not.

        Raises:
            StoreError.
        """
        with self._changed:
            live = {run_id: run.spec for run_id, (run, _) in self._live.items()}
            recent = dict(self._recent)
        stored = {spec.run_id: spec for spec, over in self._store.specs() if over}
        stored |= {run_id: run.spec for run_id, run in recent.items()}
        over = [run_id for run_id, spec in stored.items() if run_id not in live and about(spec)]
        for run_id in over:
            if run_id in recent:
                self._flusher.forget(recent[run_id])
        with self._changed:
            for run_id in over:
                self._recent.pop(run_id, None)
        if over:
            self._store.forget(over)
        return sum(about(spec) for spec in live.values())

    def close(self, timeout: float = 10.0) -> None:
        """Let running answers end within `timeout` seconds; interrupt the others.

        Interrupted durable runs are continued by the next `recover`. Idempotent.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closing = True
            self._changed.wait_for(lambda: not self._live, timeout)
            left = list(self._live.values())
        for run, _ in left:
            run.interrupt()
        for run, thread in left:
            if thread.ident is None:  # about to be started; it will find itself interrupted
                continue
            thread.join(max(0.0, deadline - time.monotonic()) + STOP_S)
            if thread.is_alive():
                _log.warning("Run %s does not stop; it continues after the restart", run.run_id)
        self._flusher.close()

    def _begin(self, run: Run, thread: threading.Thread) -> Run:
        spec = run.spec
        with self._changed:
            known = self._known(spec.run_id)
            if known is not None:
                return known
            self._refuse()
            self._live[spec.run_id] = (run, thread)
        try:
            if spec.durable and not self._created(run):
                self._retire(run)
                return self.get(spec.run_id)
            thread.start()
        except BaseException:
            self._retire(run)
            self._abandon(run)
            raise
        return run

    def _created(self, run: Run) -> bool:
        """False when it was created before.

        Raises:
            StoreError: it cannot be written down, and no other tier has it.
        """
        try:
            return self._store.create(run.spec, run.created_at)
        except StoreError as error:
            if run.spec.relayed is None:
                raise
            _log.warning("Run %s does not outlive this server: %s", run.run_id, error.message)
            run.respec(replace(run.spec, durable=False))
            return True

    def _recover(self, run_id: str, source_of: Callable[[RunSpec], Source | None]) -> Run:
        stored = self._store.load(run_id)
        if stored is None:
            raise KeyError(run_id)
        self._store.note_recovery(run_id)
        run = Run(stored.spec, EventLog(stored.events), produced=stored.produced)
        run.created_at = stored.created_at
        source = source_of(stored.spec) or self._own
        thread = self._thread(run, self._continuation(run, stored, source), source)
        with self._changed:
            self._live[run_id] = (run, thread)
        thread.start()
        return run

    def _continuation(self, run: Run, stored: RunRecord, source: Source) -> Callable[[], None]:
        producer = self._producer(run, source)
        valid = run.log.leap(stored.recoveries + 1)
        result = stored.result
        if result is None and stored.recoveries >= MAX_RECOVERIES:
            result = RunResult(RunState.FAILED, None, Usage(0, run.produced), error=_cursed())
        if result is None:
            return lambda: producer.resume(valid)
        ended = result
        return lambda: producer.finish(ended)

    def _producer(self, run: Run, source: Source) -> Producer:
        return Producer(run, source, self._flusher, self._on_finish, policy=self._policy, pause=self._pause)

    def _thread(self, run: Run, work: Callable[[], None], source: Source) -> threading.Thread:
        return threading.Thread(
            target=self._live_through, args=(run, work, source), name=f"run-{run.run_id}", daemon=True
        )

    def _live_through(self, run: Run, work: Callable[[], None], source: Source) -> None:
        try:
            work()
        except Exception:
            _log.exception("Run %s broke", run.run_id)
        finally:
            source.close()
            self._abandon(run)
            self._retire(run)
        with self._changed:
            self._finished += 1
            prune = self._finished % PRUNE_EVERY == 0
        if prune:
            self._prune()

    def _abandon(self, run: Run) -> None:
        """Let nobody wait for a run that its thread left without an end."""
        if not run.log.closed:
            error = OrchestratorError("The answer stopped because of an error inside the server.")
            failed = RunResult(RunState.FAILED, None, error=error, text=run.text)
            run.settle(("error", error.body()), failed, recoverable=True)

    def _retire(self, run: Run) -> None:
        with self._changed:
            self._live.pop(run.run_id, None)
            if run.log.closed:
                self._recent[run.run_id] = run.without_prompt()
            self._forget_old()
            self._changed.notify_all()

    def _forget_old(self) -> None:
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    def _prune(self) -> None:
        try:
            self._store.prune()
        except StoreError as error:
            _log.warning("Old runs cannot be removed: %s", error)

    def _known(self, run_id: str) -> Run | None:
        live = self._live.get(run_id)
        return live[0] if live is not None else self._recent.get(run_id)

    def _refuse(self) -> None:
        if self._closing:
            raise interrupted()
        if len(self._live) >= self._max_live:
            raise Overloaded(f"{self._max_live} answers are being produced already.")


def _cursed() -> OrchestratorError:
    return OrchestratorError(
        f"The server stopped {MAX_RECOVERIES} times while producing this answer, so it was given up.",
        hint="The text so far is kept. Ask again, perhaps with a shorter question.",
        code="given_up",
    )
