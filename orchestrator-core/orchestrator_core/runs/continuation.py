"""What to do when a backend fails in the middle of an answer: pure decisions, no effects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from orchestrator_core.backend import FinishReason, Usage
from orchestrator_core.errors import (
    ApplicationError,
    BackendLoading,
    BackendTimeout,
    BackendUnreachable,
    ContextLengthExceeded,
    EngineLost,
    OrchestratorError,
    Overloaded,
    TierRefused,
    TierUnreachable,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.runs.spec import RunResult, RunSpec, RunState

PASSING = (EngineLost, BackendUnreachable, BackendTimeout, BackendLoading)
"""Failures that may be gone on the next attempt."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patiently a run waits for its backend.

    Args:
        before_text: attempts that fail in a row before anything was shown: few, so that
            nobody stares at an empty answer (the defaults give up after 0.75 s of waiting).
        after_text: the same once text was shown: enough for a process to come back
            (24 s of waiting; loading a model happens inside an attempt and is not counted).
        in_all: failures of one run, however much came between them: a prompt that kills
            the engine again and again would interrupt everybody else's answers.
        first_delay_s, longest_delay_s: the wait doubles from one to the other.
    """

    before_text: int = 3
    after_text: int = 8
    in_all: int = 32
    first_delay_s: float = 0.25
    longest_delay_s: float = 8.0

    def delay(self, failures_in_a_row: int) -> float:
        return float(min(self.longest_delay_s, self.first_delay_s * 2 ** (failures_in_a_row - 1)))


@dataclass(frozen=True, slots=True)
class RunProgress:
    """What a run has been through.

    Args:
        shown: whether any text was shown.
        in_a_row: failures since the last token, this one included.
        in_all: failures since the run began in this process, this one included.
    """

    shown: bool
    in_a_row: int
    in_all: int


@dataclass(frozen=True, slots=True)
class Retry:
    """Continue from the text shown, after this wait."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Enough:
    """The window is full: the answer ends here, by its length."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The run fails with this error."""

    error: ApplicationError


def after_failure(
    error: OrchestratorError, progress: RunProgress, policy: RetryPolicy
) -> Retry | Enough | GiveUp:
    """The next step after an attempt failed."""
    if isinstance(error, TierRefused):
        return GiveUp(error.error)
    if isinstance(error, TierUnreachable):
        return Retry(0.0)  # the source asks this tier next
    if isinstance(error, ContextLengthExceeded) and progress.shown:
        return Enough()
    first_try = not progress.shown and progress.in_all == 1
    passing = isinstance(error, PASSING) or (isinstance(error, Overloaded) and not first_try)
    most = policy.after_text if progress.shown else policy.before_text
    if not passing or progress.in_a_row >= most or progress.in_all >= policy.in_all:
        return GiveUp(error)
    return Retry(policy.delay(progress.in_a_row))


def remaining_config(config: GenerationConfig, produced: int) -> GenerationConfig | None:
    """The config for what is left after `produced` tokens; None when nothing is."""
    if config.max_new_tokens is None:
        return config
    left = config.max_new_tokens - produced
    return config.model_copy(update={"max_new_tokens": left}) if left > 0 else None


def total_usage(first: Usage | None, last: Usage, produced_before: int, shown_since: int) -> Usage:
    """Tokens of a whole run.

    Args:
        first: of its first attempt, whose prompt was the bare prompt; None: `last` is it.
        last: of its last attempt.
        produced_before: tokens shown before the last attempt.
        shown_since: tokens shown by the last attempt, which may not have said its usage.
    """
    start = first if first is not None and first.prompt_tokens else last
    completion = produced_before + max(last.completion_tokens, shown_since)
    return Usage(start.prompt_tokens, completion, start.cached_tokens)


def worth_storing(result: RunResult) -> bool:
    """Whether the answer becomes a message: every finished one, and any part of the others."""
    return result.state is RunState.DONE or bool(result.text)


def with_result(spec: RunSpec, result: RunResult) -> RunSpec:
    """The spec whose receipt also says what happened on the way."""
    noted: dict[str, Any] = {}
    if result.seams:
        noted["seams"] = list(result.seams)
    if result.state is not RunState.DONE:
        noted["incomplete"] = True
        noted["finish_reason"] = result.finish_reason.value if result.finish_reason else "error"
    if result.error is not None:
        noted["error"] = result.error.code
    if result.finish_reason is FinishReason.LENGTH:
        noted["finish_reason"] = FinishReason.LENGTH.value
    return replace(spec, receipt={**spec.receipt, **noted}) if noted else spec
