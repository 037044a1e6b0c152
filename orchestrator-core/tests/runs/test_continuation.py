from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.backend import FinishReason, Usage
from orchestrator_core.errors import (
    BackendLoading,
    BackendTimeout,
    BackendUnreachable,
    ContextLengthExceeded,
    EngineLost,
    InvalidRequest,
    ModelUnusable,
    OrchestratorError,
    Overloaded,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.runs.continuation import (
    Enough,
    GiveUp,
    Retry,
    RetryPolicy,
    RunProgress,
    after_failure,
    remaining_config,
    total_usage,
    with_result,
    worth_storing,
)
from orchestrator_core.runs.spec import RunResult, RunState
from support.run_clients import make_spec

POLICY = RetryPolicy()


@pytest.mark.parametrize("kind", [EngineLost, BackendUnreachable, BackendTimeout, BackendLoading])
@pytest.mark.parametrize("shown", [True, False])
def test_what_may_pass_is_tried_again(kind: type[OrchestratorError], shown: bool) -> None:
    assert after_failure(kind("x"), RunProgress(shown, 1, 1), POLICY) == Retry(POLICY.first_delay_s)


@pytest.mark.parametrize("kind", [ModelUnusable, InvalidRequest, OrchestratorError])
def test_what_will_not_pass_ends_the_run(kind: type[OrchestratorError]) -> None:
    error = kind("x")
    assert after_failure(error, RunProgress(True, 1, 1), POLICY) == GiveUp(error)


def test_a_full_queue_is_the_caller_s_problem_only_at_the_first_try() -> None:
    error = Overloaded("full")
    assert after_failure(error, RunProgress(False, 1, 1), POLICY) == GiveUp(error)
    assert isinstance(after_failure(error, RunProgress(False, 2, 2), POLICY), Retry)
    assert isinstance(after_failure(error, RunProgress(True, 1, 1), POLICY), Retry)


def test_a_window_that_filled_up_ends_the_answer_and_one_too_small_is_an_error() -> None:
    error = ContextLengthExceeded("x")
    assert after_failure(error, RunProgress(True, 1, 1), POLICY) == Enough()
    assert after_failure(error, RunProgress(False, 1, 1), POLICY) == GiveUp(error)


@given(st.booleans(), st.integers(1, 50), st.integers(0, 50))
def test_patience_is_bounded(shown: bool, in_a_row: int, before: int) -> None:
    in_all = in_a_row + before
    step = after_failure(EngineLost("x"), RunProgress(shown, in_a_row, in_all), POLICY)
    allowed = in_a_row < (POLICY.after_text if shown else POLICY.before_text) and in_all < POLICY.in_all
    assert isinstance(step, Retry if allowed else GiveUp)


def test_the_wait_doubles_up_to_its_bound() -> None:
    assert [POLICY.delay(n) for n in range(1, 9)] == [0.25, 0.5, 1, 2, 4, 8, 8, 8]


@given(st.integers(1, 100), st.integers(0, 200))
def test_only_what_is_left_of_the_limit_may_be_produced(limit: int, produced: int) -> None:
    config = remaining_config(GenerationConfig(max_new_tokens=limit, seed=7), produced)
    if produced >= limit:
        assert config is None
    else:
        assert config is not None
        assert config.max_new_tokens == limit - produced
        assert config.seed == 7


def test_usage_counts_the_prompt_once_and_all_of_the_answer() -> None:
    first, last = Usage(100, 7, 60), Usage(107, 5, 100)
    assert total_usage(first, last, produced_before=6, shown_since=5) == Usage(100, 11, 60)
    assert total_usage(None, last, produced_before=0, shown_since=9) == Usage(107, 9, 100)
    assert total_usage(Usage(), last, produced_before=0, shown_since=0) == last


def test_a_part_of_an_answer_is_worth_storing_and_nothing_is_not() -> None:
    for state in (RunState.FAILED, RunState.CANCELLED):
        assert worth_storing(RunResult(state, None, text="text"))
        assert not worth_storing(RunResult(state, None))
    assert worth_storing(RunResult(RunState.DONE, None))


def test_the_receipt_says_what_happened_on_the_way() -> None:
    spec = make_spec(receipt={"tier": "desktop"})
    assert with_result(spec, RunResult(RunState.DONE, FinishReason.STOP, Usage())) is spec
    seam = {"tier": "desktop", "model": "m", "reason": "r", "offset": 3}
    failed = RunResult(RunState.FAILED, None, Usage(), (seam,), EngineLost("x"))
    assert with_result(spec, failed).receipt == {
        "tier": "desktop",
        "seams": [seam],
        "incomplete": True,
        "finish_reason": "error",
        "error": "engine_lost",
    }
    stopped = RunResult(RunState.CANCELLED, FinishReason.CANCELLED, Usage())
    assert with_result(spec, stopped).receipt["finish_reason"] == "cancelled"
