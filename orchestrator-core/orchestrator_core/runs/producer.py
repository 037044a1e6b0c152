"""The thread of one run: asks its source, survives the source's deaths, stores the answer once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from shared_context.errors import SharedContextError, StoreError
from shared_context.storage.identity import now

from orchestrator_core.backend import FinishReason, Usage
from orchestrator_core.errors import (
    AnswerNotStored,
    ApplicationError,
    BackendLoading,
    EngineLost,
    OrchestratorError,
    TierUnreachable,
)
from orchestrator_core.runs.continuation import (
    Enough,
    GiveUp,
    RetryPolicy,
    RunProgress,
    after_failure,
    total_usage,
    with_result,
    worth_storing,
)
from orchestrator_core.runs.event_log import MAX_EVENTS
from orchestrator_core.runs.flusher import Flusher
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.source import Attempt, Seam, Source
from orchestrator_core.runs.spec import RunResult, RunSpec, RunState

OnFinish = Callable[[RunSpec, RunResult], dict[str, Any]]
"""Stores the answer under `spec.message_id` unless it is there already, and returns fields to
add to the done event. The spec's receipt also says what happened on the way: `seams`, and
`incomplete` with `finish_reason` for a part of an answer. Not called when there is nothing
to store. May be called again after a crash."""

Pause = Callable[[float, threading.Event], object]
"""Waits so many seconds, or until the event is set."""

_log = logging.getLogger(__name__)


class _Interrupted(Exception):
    """The server stops; the run is left for the next start."""


def pause(seconds: float, woken: threading.Event) -> None:
    woken.wait(seconds)


class Producer:
    """Produces one run, from its beginning or from where an earlier process left it."""

    def __init__(
        self,
        run: Run,
        source: Source,
        flusher: Flusher,
        on_finish: OnFinish,
        *,
        policy: RetryPolicy,
        pause: Pause,
    ) -> None:
        self._run = run
        self._source = source
        self._flusher = flusher
        self._on_finish = on_finish
        self._policy = policy
        self._pause = pause
        self._seams = [_seam_note(data, offset, before) for offset, before, data in run.log.seams()]
        self._first_usage: Usage | None = None
        self._usage = Usage()
        self._take_over: str | None = None
        self._in_a_row = 0
        self._in_all = 0

    def produce(self) -> None:
        """The whole life of a new run."""
        try:
            result = self._outcome()
        except _Interrupted:
            self._leave()
        else:
            self.finish(result)

    def resume(self, valid: int) -> None:
        """The rest of a run whose server died: what came after offset `valid` is declared lost."""
        self._seam("The server was restarted.", {"from": valid})
        self.produce()

    def finish(self, result: RunResult) -> None:
        """Store the answer and end the run. Safe to repeat after a crash at any point."""
        run = self._run
        run.conclude(result)
        try:
            # From here on a restart stores the answer instead of producing it again.
            self._flusher.flush(run)
        except StoreError as error:
            _log.warning("The end of run %s cannot be written down: %s", run.run_id, error)
        result = run.completed(result)
        spec = with_result(run.spec, result)
        extra: dict[str, Any] = {}
        if worth_storing(result):
            try:
                extra = self._on_finish(spec, result)
            except Exception as error:
                self._not_stored(result, error)
                return
        if result.error is not None:
            run.settle(("error", result.error.body()), result)
        else:
            run.settle(("done", {**done_fields(spec, result), **extra}), result)
        self._flusher.touch(run)

    def _outcome(self) -> RunResult:
        """Attempts until one ends the answer."""
        while True:
            if self._run.cancelled:
                return self._ended(RunState.CANCELLED, FinishReason.CANCELLED)
            if self._run.stop_wanted:
                raise _Interrupted
            try:
                return self._attempt()
            except OrchestratorError as error:
                outcome = self._after(error)
            except _Interrupted:
                raise
            except Exception:
                _log.exception("Run %s broke", self._run.run_id)
                outcome = self._ended(RunState.FAILED, None, _internal_error())
            if outcome is not None:
                return outcome

    def _attempt(self) -> RunResult:
        run = self._run
        before = run.produced
        attempt = self._source.attempt(run) if len(run.log) < MAX_EVENTS else None
        if attempt is None:
            self._mark_take_over()
            return self._ended(RunState.DONE, FinishReason.LENGTH)
        try:
            with run.producing(attempt):
                full = self._show(attempt)
        finally:
            self._count(attempt.usage, before)
        if full:
            return self._ended(RunState.DONE, FinishReason.LENGTH)
        if attempt.finish_reason in (None, FinishReason.CANCELLED):
            if run.cancelled:
                return self._ended(RunState.CANCELLED, FinishReason.CANCELLED)
            if run.stop_wanted:
                raise _Interrupted
        if attempt.finish_reason is FinishReason.CANCELLED:
            raise EngineLost("The backend ended the answer without being asked to.")
        self._mark_take_over()
        return self._ended(RunState.DONE, attempt.finish_reason or FinishReason.STOP)

    def _show(self, attempt: Attempt) -> bool:
        """Whether the log was full before the answer ended."""
        pieces = iter(attempt)
        try:
            for piece in pieces:
                self._mark_take_over()
                if isinstance(piece, Seam):
                    self._write_seam(piece, {})
                    continue
                self._in_a_row = 0
                if piece.logprobs:
                    self._run.log.append(("logprobs", {"logprobs": list(piece.logprobs)}))
                say = self._run.think if piece.is_thought else self._run.show
                say(piece.text, piece.count)
                self._flusher.touch(self._run)
                # One place is kept for the final event.
                if len(self._run.log) >= MAX_EVENTS - 1:
                    attempt.cancel()
                    return True
            return False
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def _after(self, error: OrchestratorError) -> RunResult | None:
        """None: try again."""
        if self._run.stop_wanted:
            return None
        if not isinstance(error, TierUnreachable):
            self._in_a_row += 1
            self._in_all += 1
        progress = RunProgress(self._run.has_text, self._in_a_row, self._in_all)
        step = after_failure(error, progress, self._policy)
        match step:
            case GiveUp(error=last):
                return self._ended(RunState.FAILED, None, last)
            case Enough():
                return self._ended(RunState.DONE, FinishReason.LENGTH)
        _log.warning("Run %s continues in %.2f s: %s", self._run.run_id, step.delay_s, error)
        if not isinstance(error, BackendLoading):
            self._take_over = self._take_over or _reason(error)
        self._pause(step.delay_s, self._run.woken)
        return None

    def _mark_take_over(self) -> None:
        """Written just before the first text of the new attempt."""
        if self._take_over is not None:
            reason, self._take_over = self._take_over, None
            self._seam(reason, {})

    def _seam(self, reason: str, more: dict[str, Any]) -> None:
        tier, model = self._source.speaker(self._run)
        self._write_seam(Seam(tier, model, reason), more)

    def _write_seam(self, seam: Seam, more: dict[str, Any]) -> None:
        data = {"tier": seam.tier, "model": seam.model, "reason": seam.reason}
        visible = bool(more) or len(self._run.log) > 0
        offset = self._run.log.append(("seam", {**data, **more})) if visible else 0
        self._seams.append(_seam_note(data, offset, len(self._run.text)))
        self._flusher.touch(self._run)

    def _count(self, usage: Usage, before: int) -> None:
        self._usage = total_usage(self._first_usage, usage, before, self._run.produced - before)
        if self._first_usage is None and usage.prompt_tokens:
            self._first_usage = usage

    def _ended(
        self, state: RunState, reason: FinishReason | None, error: ApplicationError | None = None
    ) -> RunResult:
        return RunResult(state, reason, self._usage, tuple(self._seams), error)

    def _leave(self) -> None:
        run = self._run
        try:
            self._flusher.flush(run)
        except StoreError as error:
            _log.warning("Run %s cannot be written down: %s", run.run_id, error)
        run.settle(None, run.interrupted(), recoverable=True)

    def _not_stored(self, result: RunResult, error: Exception) -> None:
        """The text is there, its message is not. A store that may recover gets another chance at
        the next start; the log in the store is left as it is for that."""
        run = self._run
        _log.error("The answer of run %s was not stored: %r", run.run_id, error)
        refusal = _storage_error(error)
        failed = replace(result, state=RunState.FAILED, error=refusal, message_id=None)
        again = isinstance(error, StoreError)
        if again:
            self._flusher.forget(run)
        else:
            run.conclude(self._ended(RunState.FAILED, result.finish_reason, refusal))
        run.settle(("error", refusal.body()), failed, recoverable=again)
        if not again:
            self._flusher.touch(run)


def done_fields(spec: RunSpec, result: RunResult) -> dict[str, Any]:
    """The data of the done event: the fields of a `/chat` answer."""
    former = {} if spec.supersedes is None else {"supersedes": spec.supersedes}
    return {
        **former,
        "done": True,
        "response": result.text,
        "conversation_id": spec.conversation_id,
        "message_id": result.message_id,
        "run_id": spec.run_id,
        "tier": spec.tier,
        "model": result.seams[-1]["model"] if result.seams else spec.model,
        "reason": spec.reason,
        "usage": asdict(result.usage),
        "receipt": spec.receipt,
        "timestamp": now(),
        "finish_reason": None if result.finish_reason is None else result.finish_reason.value,
    }


def _seam_note(seam: dict[str, Any], offset: int, before: int) -> dict[str, Any]:
    """A seam as receipts tell it."""
    return {name: seam[name] for name in ("tier", "model", "reason")} | {"offset": offset, "at": before}


def _reason(error: OrchestratorError) -> str:
    if isinstance(error, TierUnreachable):
        return error.message
    if isinstance(error, EngineLost):
        return "The engine died and was restarted."
    return "The connection to the model was lost and made again."


def _storage_error(error: Exception) -> ApplicationError:
    if isinstance(error, OrchestratorError):
        return error
    if not isinstance(error, SharedContextError):
        return _internal_error()
    return AnswerNotStored(f"The answer could not be stored: {error.message}", hint=error.hint)


def _internal_error() -> OrchestratorError:
    return OrchestratorError(
        "The answer stopped because of an error inside the server.",
        hint="The log file says more; please report it.",
    )
