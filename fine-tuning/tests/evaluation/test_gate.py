from __future__ import annotations

import re

import numpy as np
import pytest
from fine_tuning.evaluation.gate import MARGIN, judge
from fine_tuning.evaluation.statistics import compare
from hypothesis import given
from hypothesis import strategies as st


def differing(by: float, count: int = 400, scatter: float = 0.2):
    random = np.random.default_rng(1)
    active = random.uniform(0.3, 0.7, count)
    noise = random.normal(0, scatter, count)
    ours = active + by + noise - noise.mean()
    return compare([0] * count, [0] * count, ours, active)


def test_a_better_model_is_accepted_and_the_figures_are_told():
    verdict = judge(differing(0.1))
    assert verdict.accepted
    assert "+0.100 on 400 questions" in verdict.reasons[0]


def test_a_worse_model_is_refused_unless_forced():
    refused, forced = judge(differing(-0.2)), judge(differing(-0.2), force=True)
    assert (refused.accepted, refused.forced) == (False, False)
    assert (forced.accepted, forced.forced) == (True, True)
    assert refused.reasons == forced.reasons
    assert "-0.050 is the limit" in refused.reasons[0]


def test_too_few_questions_refuse_an_equal_model_and_say_how_many_would_do():
    verdict = judge(differing(0.0, count=30, scatter=0.4))
    assert not verdict.accepted
    assert re.search(r"about \d{3} would show 0\.050", verdict.reasons[0])


def test_a_model_that_is_no_longer_the_trained_one_is_refused_however_good_it_is():
    verdict = judge(differing(0.3), parity_faults=["q4_k_m: KL divergence 0.4."])
    assert (verdict.accepted, verdict.reasons) == (False, ("q4_k_m: KL divergence 0.4.",))


def test_the_first_model_has_nothing_to_be_compared_with():
    assert judge(None).accepted
    assert not judge(None, parity_faults=["broken"]).accepted


def test_no_questions_are_no_proof():
    assert not judge(compare([], [], [], [])).accepted


@pytest.mark.parametrize("margin", [-0.1, 1.5, float("nan")])
def test_an_impossible_margin_is_refused(margin):
    with pytest.raises(ValueError, match="margin"):
        judge(None, margin=margin)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20), st.floats(0, 1))
def test_what_a_small_margin_accepts_a_larger_one_accepts_too(pairs, margin):
    ours, active = zip(*pairs, strict=True)
    comparison = compare([0] * len(pairs), [0] * len(pairs), ours, active)
    if judge(comparison, margin=margin / 2).accepted:
        assert judge(comparison, margin=margin).accepted
    assert judge(comparison, margin=MARGIN).accepted == (comparison.f1_lower_bound >= -MARGIN)
