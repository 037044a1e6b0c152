"""Brings the events of all runs to the store: one thread, one transaction for all of them."""

from __future__ import annotations

import logging
import threading

from shared_context.errors import StoreError

from orchestrator_core.runs.run import Run
from orchestrator_core.runs.store import RunStore

FLUSH_INTERVAL_S = 0.15
"""What a dying server may lose of an answer's text; it is produced again after the restart."""
RETRY_INTERVAL_S = 1.0
"""Between attempts while the store cannot be written; runs go on in memory meanwhile."""

_log = logging.getLogger(__name__)


class Flusher:
    """Only durable runs are flushed. The thread starts with the first of them."""

    def __init__(self, store: RunStore, interval_s: float = FLUSH_INTERVAL_S) -> None:
        self._store = store
        self._interval_s = interval_s
        self._dirty: dict[str, Run] = {}
        self._news = threading.Condition()
        self._closing = threading.Event()
        self._flushing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failing = False

    def touch(self, run: Run) -> None:
        """`run` has something new; it is flushed soon."""
        if not run.spec.durable:
            return
        with self._news:
            self._dirty[run.run_id] = run
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._work, name="run-flusher", daemon=True)
                self._thread.start()
            self._news.notify()

    def flush(self, run: Run) -> None:
        """`run`, and whatever else is waiting, is in the store when this returns.

        Raises:
            StoreError: it cannot be written; it stays waiting.
        """
        if not run.spec.durable:
            return
        with self._news:
            self._dirty[run.run_id] = run
        self._flush_all()

    def forget(self, run: Run) -> None:
        """Nothing more of `run` is to be written."""
        with self._flushing, self._news:
            self._dirty.pop(run.run_id, None)

    def close(self) -> None:
        """Flush what is waiting, as far as the store allows, and end the thread."""
        with self._news:
            self._closing.set()
            self._news.notify()
            thread = self._thread
        if thread is not None:
            thread.join()
        self._try_flush()

    def _work(self) -> None:
        while not self._closing.is_set():
            with self._news:
                self._news.wait_for(lambda: self._dirty or self._closing.is_set())
            # Let more events gather, so that they share the transaction.
            self._closing.wait(RETRY_INTERVAL_S if self._failing else self._interval_s)
            self._try_flush()

    def _try_flush(self) -> None:
        try:
            self._flush_all()
            self._failing = False
        except StoreError as error:
            if not self._failing:
                _log.warning("Runs cannot be written down, so a crash now would lose them: %s", error)
            self._failing = True

    def _flush_all(self) -> None:
        with self._flushing:
            with self._news:
                runs, self._dirty = self._dirty, {}
            records = [run.record() for run in runs.values()]
            try:
                self._store.write(records)
            except BaseException:
                with self._news:
                    self._dirty = {**runs, **self._dirty}
                raise
            for run, record in zip(runs.values(), records, strict=True):
                run.flushed += len(record.events)
                run.flushed_spec = record.spec
