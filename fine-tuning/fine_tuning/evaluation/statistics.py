"""Is one model better than another on the same questions? Pure functions of paired scores.

Both models answer the same questions, so the differences per question are compared, which shows
far smaller effects than two separate means would. Questions about one fact are not independent:
where their groups are given, whole groups are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 10_000
POWER = 0.8
"""Probability with which the smallest effect would be shown."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its confidence bounds; all three are 0 for no values."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against another model, question by question.

    Args:
        count: questions.
        exact_match: difference of the shares of exact matches, candidate minus other.
        p_value: exact two-sided McNemar test of the exact matches.
        gained, lost: questions that only the candidate, or only the other, answers exactly.
        f1: difference of the mean F1 with two-sided bounds.
        f1_lower_bound: one-sided lower bound of it, which a gate compares with its margin.
        smallest_f1: the smallest difference of F1 this set of questions would show; None: none at all.
        smallest_exact_match: the same for exact matches.
    """

    count: int
    exact_match: float
    p_value: float
    gained: int
    lost: int
    f1: Interval
    f1_lower_bound: float
    smallest_f1: float | None
    smallest_exact_match: float | None


def compare(
    exact: Sequence[float],
    other_exact: Sequence[float],
    f1: Sequence[float],
    other_f1: Sequence[float],
    groups: Sequence[Hashable] | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Everything known about candidate minus other, from the scores of the same questions in the same order.

    Args:
        exact, other_exact: 1 or 0 per question.
        f1, other_f1: 0 to 1 per question.
        groups: for each question what it shares with others, such as its fact; default: nothing.

    Raises:
        ValueError: not one score of each kind per question.
    """
    count = len(f1)
    if not (count == len(other_f1) == len(exact) == len(other_exact)):
        raise ValueError("Scores of the same questions are compared: the lists must be equally long.")
    differences = np.subtract(f1, other_f1, dtype=float)
    matches = np.subtract(exact, other_exact, dtype=float)
    gained, lost = int((matches > 0).sum()), int((matches < 0).sum())
    return Comparison(
        count=count,
        exact_match=float(matches.mean()) if count else 0.0,
        p_value=mcnemar(gained, lost),
        gained=gained,
        lost=lost,
        f1=bootstrap(differences, groups, confidence=confidence),
        f1_lower_bound=bootstrap(differences, groups, confidence=2 * confidence - 1).low,
        smallest_f1=smallest_mean(differences, groups, confidence=confidence),
        smallest_exact_match=smallest_share(count, confidence=confidence),
    )


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p-value of McNemar's test by the binomial distribution, exact for any count.

    McNemar, "Note on the sampling error of the difference between correlated proportions" (1947).
    """
    count, fewer = gained + lost, min(gained, lost)
    tail = sum(math.comb(count, k) for k in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**count))


def bootstrap(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[Hashable] | None = None,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 20261,
) -> Interval:
    """The mean with percentile bounds of a bootstrap over groups; the same for the same seed.

    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    if not len(values):
        return Interval(0.0, 0.0, 0.0)
    sums, sizes = _per_group(values, groups)
    random = np.random.default_rng(seed)
    means = np.concatenate(
        [
            sums[drawn].sum(1) / sizes[drawn].sum(1)
            for drawn in (
                random.integers(0, len(sums), (size, len(sums))) for size in _parts(resamples, len(sums))
            )
        ]
    )
    outside = (1 - confidence) / 2
    low, high = np.quantile(means, (outside, 1 - outside))
    return Interval(float(sums.sum() / sizes.sum()), float(low), float(high))


def smallest_mean(
    differences: Sequence[float] | np.ndarray,
    groups: Sequence[Hashable] | None = None,
    *,
    confidence: float = CONFIDENCE,
    power: float = POWER,
) -> float | None:
    """The mean difference that would be shown with probability `power`, given how differences scatter.

    None with fewer than two groups, or where nothing scatters: then nothing can be said.
    """
    if not len(differences):
        return None
    sums, sizes = _per_group(differences, groups)
    count = len(sums)
    residuals = sums - sizes * (sums.sum() / sizes.sum())
    scatter = float((residuals**2).sum())
    if count < 2 or scatter < 1e-12:
        return None
    error = math.sqrt(scatter * count / (count - 1)) / float(sizes.sum())
    normal = NormalDist()
    return (normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(power)) * error


def smallest_share(count: int, *, confidence: float = CONFIDENCE) -> float | None:
    """The smallest difference of exact matches that McNemar's test could call real with so many
    questions: as many as it takes when none is lost. None: even all of them would not do."""
    needed = next(number for number in range(1, 10_000) if mcnemar(number, 0) <= 1 - confidence)
    return needed / count if needed <= count else None


def _per_group(
    values: Sequence[float] | np.ndarray, groups: Sequence[Hashable] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Sum and size of each group, in order of first appearance."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups or range(len(values))))}
    places = [numbers[name] for name in groups or range(len(values))]
    if len(places) != len(values):
        raise ValueError("There must be one group per value.")
    return np.bincount(places, np.asarray(values, float)), np.bincount(places).astype(float)


def _parts(resamples: int, groups: int) -> list[int]:
    """Resamples in parts, so that a large set needs no more than some ten MB at once."""
    size = max(1, 1_000_000 // groups)
    return [min(size, resamples - done) for done in range(0, resamples, size)]
