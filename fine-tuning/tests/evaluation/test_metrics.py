from __future__ import annotations

import pytest
from fine_tuning.evaluation.metrics import exact_match, f1, normalise, score
from hypothesis import given
from hypothesis import strategies as st

texts = st.text(max_size=40)


def test_normalisation_is_that_of_squad():
    assert normalise("The  Port, is:\t5000!") == "port is 5000"


@pytest.mark.parametrize(
    ("answer", "truth", "exact", "overlap"),
    [
        ("The relay.", "relay", 1, 1),
        ("port 5000", "port 80", 0, 0.5),
        ("one two three four", "one two", 0, 2 / 3),
        ("a a b", "b b", 0, 2 / 3),
        ("", "something", 0, 0),
        ("", "the", 1, 1),
        ("yes", "no", 0, 0),
    ],
)
def test_known_pairs(answer, truth, exact, overlap):
    assert exact_match(answer, truth) == exact
    assert f1(answer, truth) == pytest.approx(overlap)


@given(texts, texts)
def test_f1_is_symmetric_and_between_zero_and_one(one, other):
    assert f1(one, other) == pytest.approx(f1(other, one))
    assert 0 <= f1(one, other) <= 1


@given(texts, texts)
def test_an_exact_match_has_full_f1(one, other):
    assert f1(one, one) == 1
    if exact_match(one, other):
        assert f1(one, other) == 1


def test_scores_are_means():
    scores = score([("a cat", "cat"), ("two words", "no")])
    assert (scores.count, scores.exact_match, scores.f1, scores.length) == (2, 0.5, 0.5, 2)
    assert score([]).count == 0
