"""Exact match and F1 between an answer and the right one, as SQuAD defined them.

Normalisation and both measures follow the official script evaluate-v1.1.py of Rajpurkar et
al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text" (EMNLP 2016).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over some answers.

    Args:
        count: how many.
        exact_match, f1: between 0 and 1.
        length: words per answer.
    """

    count: int
    exact_match: float
    f1: float
    length: float


def normalise(text: str) -> str:
    """Lower case, without punctuation and articles, single blanks."""
    lowered = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", lowered).split())


def exact_match(answer: str, truth: str) -> float:
    """1.0 when both are the same after normalisation, else 0.0."""
    return float(normalise(answer) == normalise(truth))


def f1(answer: str, truth: str) -> float:
    """Harmonic mean of precision and recall over words, counted with repetition."""
    said, right = normalise(answer).split(), normalise(truth).split()
    if not said or not right:
        return float(said == right)
    common = sum((Counter(said) & Counter(right)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(said), common / len(right)
    return 2 * precision * recall / (precision + recall)


def score(pairs: Iterable[tuple[str, str]]) -> Scores:
    """Scores of (answer, truth) pairs; all zero when there are none."""
    rows = [(exact_match(a, t), f1(a, t), len(a.split())) for a, t in pairs]
    count = len(rows)
    if not count:
        return Scores(0, 0.0, 0.0, 0.0)
    return Scores(
        count,
        sum(row[0] for row in rows) / count,
        sum(row[1] for row in rows) / count,
        sum(row[2] for row in rows) / count,
    )
