from __future__ import annotations

import math

import numpy as np
import pytest
from fine_tuning.evaluation.statistics import bootstrap, compare, mcnemar, smallest_mean, smallest_share
from hypothesis import given
from hypothesis import strategies as st

scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        # scipy.stats.binomtest(gained, gained + lost, 0.5).pvalue
        (0, 0, 1.0),
        (1, 0, 1.0),
        (6, 0, 0.03125),
        (5, 0, 0.0625),
        (15, 5, 0.041389465332031264),
        (59, 121, 4.4344492637551645e-06),
        (121, 59, 4.4344492637551645e-06),
    ],
)
def test_mcnemar_equals_the_binomial_test(gained, lost, p):
    assert mcnemar(gained, lost) == pytest.approx(p, rel=1e-9)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_a_symmetric_probability(gained, lost):
    assert mcnemar(gained, lost) == mcnemar(lost, gained)
    assert 0 <= mcnemar(gained, lost) <= 1


def test_the_bounds_hold_the_true_mean_about_as_often_as_they_say():
    random = np.random.default_rng(3)
    held = 0
    for seed in range(200):
        sample = random.beta(0.5, 0.5, 80)
        interval = bootstrap(sample, resamples=500, seed=seed)
        held += interval.low <= 0.5 <= interval.high
    assert 0.90 <= held / 200 <= 0.99


def test_repeating_each_question_narrows_nothing_when_they_are_one_group():
    values = list(np.random.default_rng(5).normal(0.1, 0.3, 40))
    once = bootstrap(values)
    repeated = bootstrap(values * 5, [*range(40)] * 5)
    assert (once.low, once.high) == pytest.approx((repeated.low, repeated.high))
    assert bootstrap(values * 5).low > once.low
    assert smallest_mean(values * 5, [*range(40)] * 5) == pytest.approx(smallest_mean(values))


def test_the_smallest_mean_is_that_of_the_normal_approximation():
    values = np.tile([0.3, -0.3], 50)
    expected = (1.959964 + 0.841621) * values.std(ddof=1) / math.sqrt(100)
    assert smallest_mean(values) == pytest.approx(expected, rel=1e-5)


def test_the_smallest_share_is_six_questions():
    assert smallest_share(100) == 0.06
    assert smallest_share(6) == 1.0
    assert smallest_share(5) is None


@given(scores)
def test_a_comparison_turned_round_is_its_negative(pairs):
    ours, theirs = zip(*pairs, strict=True)
    exact = [float(value > 0.5) for value in ours], [float(value > 0.5) for value in theirs]
    one, other = compare(*exact, ours, theirs), compare(*exact[::-1], theirs, ours)
    assert one.f1.mean == pytest.approx(-other.f1.mean, abs=1e-12)
    assert (one.gained, one.lost, one.p_value) == (other.lost, other.gained, other.p_value)
    assert one.f1.low - 1e-9 <= one.f1_lower_bound
    assert one.f1.low - 1e-9 <= one.f1.mean <= one.f1.high + 1e-9


def test_equal_models_differ_by_nothing_and_nothing_can_be_said_of_the_smallest_effect():
    same = compare([1, 0], [1, 0], [1, 0.2], [1, 0.2])
    assert (same.f1.low, same.f1.high, same.p_value, same.smallest_f1) == (0, 0, 1, None)


def test_no_questions_give_no_difference():
    assert compare([], [], [], []).count == 0


def test_scores_of_other_questions_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        compare([1], [1], [1], [1, 0])
