"""Weighs passages by the words they and what stands around them share with a question. Pure.

BM25F (Robertson, Zaragoza and Taylor 2004), with the passages before and after as further
fields: people answer "On Friday" to "When do you move?", and the question's words stand in
the other's line. The frequency of a word in one passage counts as once: passages are short.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared_context.retrieval.question import Wanted
from shared_context.retrieval.vocabulary import NUMBER_WORDS, TIME_WORDS

OWNER = "user"
BEST = 10
SATURATION = 1.0
"""BM25's k1: how much a word in the neighbours adds to the same word in the passage."""
SHORT_LIST = 400
"""Passages with the best words, of which speaker, date and thread are looked at."""
NEAR_THREADS = 6
"""Threads that fit best lend their score also to passages without any of the words."""
MOST_OF_THREAD = 60
ENOUGH_WORDS = 4
"""Of a question that is understood without what was said before it."""
LENGTH_EFFECT = 0.15
"""BM25's b; low, since passages differ little in length and long ones say more."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What the parts of a score count. Chosen on the development set of `docs/search.md`."""

    before: float = 0.4
    """A word in the passage before: it is often the question this one answers."""
    after: float = 0.15
    second: float = 0.2
    """Two passages away."""
    thread: float = 0.3
    """The whole thread's score, beside the passage's own."""
    speaker: float = 0.8
    """Added part of the score when the speaker asked about is speaking."""
    kind: float = 0.5
    """Added part of the score when the passage holds the kind of answer asked for."""
    asking: float = 0.6
    """Taken part of the score of a passage that itself only asks; less where it tells something too."""
    period: float = 0.5
    """Added part of the score when the passage is from a time asked about."""
    meaning: float = 0.8
    """Of closeness in meaning beside the words, each as a part of the best."""
    owner: float = 0.2
    """Added part of the score of what a person says: facts are told, not answered."""
    beside: float = 0.8
    """Of the score of a part of a long text, what the parts beside it have at least."""
    recency: float = 0.001
    """A tie-breaker: nothing else comes that close."""


DEFAULT_WEIGHTS = Weights()


@dataclass(frozen=True, slots=True)
class PassageTraits:
    """What scoring knows of a passage without reading it.

    Args:
        length: in characters.
        asked: the part of it that asks, 0 to 1.
    """

    thread: str
    speaker: str
    at: str
    length: int
    asked: float = 0.0


class Layout(Protocol):
    """The order of passages."""

    @property
    def count(self) -> int: ...
    @property
    def mean_length(self) -> float: ...
    def traits(self, position: int) -> PassageTraits: ...
    def members(self, thread: str) -> Sequence[int]:
        """Positions of a thread's passages, in order."""

    def rank(self, position: int) -> int:
        """Its place among the members of its thread, from 0."""


Postings = Mapping[int, float]
"""Which passages hold a term, and how surely (1 for the word itself, less for a kindred one)."""


@dataclass(frozen=True, slots=True)
class Scored:
    """
    Args:
        coverage: part of the question's weight that the passage and its neighbours cover, 0 to 1.
        holds_words: the passage has one of the words itself.
        standing: in meaning, see `Vectors.nearest`; 0 where it is not among the nearest.
    """

    position: int
    score: float
    coverage: float = 0.0
    holds_words: bool = False
    standing: float = 0.0


def rank(
    wanted: Wanted, postings: Sequence[Postings], layout: Layout, weights: Weights, limit: int
) -> list[Scored]:
    """The best passages, best first. `postings` has one mapping per term of `wanted`."""
    own: dict[int, float] = defaultdict(float)
    covered: dict[int, float] = defaultdict(float)
    threads: dict[str, float] = defaultdict(float)
    rarities: list[float] = []
    for term, positions in zip(wanted.terms, postings, strict=True):
        rarity = _rarity(len(positions), layout.count) * term.weight
        rarities.append(rarity)
        in_threads: dict[str, float] = {}
        for position, amount in _spread(positions, layout, weights).items():
            own[position] += rarity * amount * (SATURATION + 1) / (amount + SATURATION)
            covered[position] += rarity * min(1.0, amount)
        for position, sureness in positions.items():
            thread = layout.traits(position).thread
            in_threads[thread] = max(in_threads.get(thread, 0.0), sureness)
        for thread, sureness in in_threads.items():
            threads[thread] += rarity * sureness
    total = _total(wanted, rarities)
    best = dict(heapq.nlargest(SHORT_LIST, own.items(), key=lambda one: one[1]))
    for thread in sorted(threads, key=lambda one: -threads[one])[:NEAR_THREADS]:
        for position in layout.members(thread)[-MOST_OF_THREAD:]:
            best.setdefault(position, own.get(position, 0.0))
    direct = set[int]().union(*postings)
    scored = [
        Scored(
            position,
            _weighed(position, score, threads, layout, weights),
            coverage=min(covered[position] / total, 1.0),
            holds_words=position in direct,
        )
        for position, score in best.items()
    ]
    return heapq.nsmallest(limit, scored, key=lambda one: (-one.score, -one.position))


def _total(wanted: Wanted, rarities: Sequence[float]) -> float:
    """What a passage that covers the whole question has. Words of the turns before count only as
    far as the question has too few of its own to be understood: "And what does it cost?"."""
    own = [rarity for term, rarity in zip(wanted.terms, rarities, strict=True) if term.own]
    earlier = sum(rarities) - sum(own)
    if own:
        earlier = min(earlier, max(0, ENOUGH_WORDS - len(own)) * sum(own) / len(own))
    return sum(own) + earlier


def _weighed(
    position: int, score: float, threads: Mapping[str, float], layout: Layout, weights: Weights
) -> float:
    traits = layout.traits(position)
    norm = 1 - LENGTH_EFFECT + LENGTH_EFFECT * traits.length / max(layout.mean_length, 1.0)
    return score / norm + weights.thread * threads.get(traits.thread, 0.0)


def joined(
    by_words: Sequence[Scored],
    near: Postings,
    wanted: Wanted,
    layout: Layout,
    weights: Weights,
    limit: int,
) -> list[Scored]:
    """What has the words and what is near in meaning, the best by both, by who said it when, and whether it asks."""
    most = max((one.score for one in by_words), default=0.0) or 1.0
    # The fewer of the question's words even the best have, the less its words say.
    trust = math.sqrt(max((one.coverage for one in by_words[:BEST]), default=1.0))
    nearest = max(near.values(), default=0.0) or 1.0
    by_position = {one.position: one for one in by_words}
    both: dict[int, Scored] = {}
    for position in by_position.keys() | near.keys():
        one = by_position.get(position) or Scored(position, 0.0)
        standing = near.get(position, 0.0)
        score = trust * one.score / most + weights.meaning * standing / nearest
        score *= _circumstances(layout.traits(position), wanted, weights)
        both[position] = Scored(position, score, one.coverage, one.holds_words, standing)
    for one in heapq.nlargest(BEST, both.values(), key=lambda one: one.score):
        for position in _beside(one.position, layout):
            part, share = both.get(position) or Scored(position, 0.0), weights.beside
            both[position] = Scored(
                position,
                max(part.score, share * one.score),
                max(part.coverage, share * one.coverage),
                part.holds_words,
                max(part.standing, share * one.standing),
            )
    return heapq.nlargest(limit, both.values(), key=lambda one: one.score)


def _beside(position: int, layout: Layout) -> list[int]:
    """The parts of the same long text before and after this one."""
    traits, rank_here = layout.traits(position), layout.rank(position)
    beside = layout.members(traits.thread)[max(0, rank_here - 1) : rank_here + 2]
    same_text = (traits.at, traits.speaker)
    return [
        one
        for one in beside
        if one != position and (layout.traits(one).at, layout.traits(one).speaker) == same_text
    ]


def _circumstances(traits: PassageTraits, wanted: Wanted, weights: Weights) -> float:
    factor = 1.0 - weights.asking * traits.asked
    if traits.speaker and traits.speaker in wanted.speakers:
        factor *= 1 + weights.speaker
    if traits.speaker == OWNER:
        factor *= 1 + weights.owner
    if any(period.holds(traits.at) for period in wanted.periods):
        factor *= 1 + weights.period
    return factor


def judged(
    scored: Sequence[Scored], texts: Mapping[int, str], wanted: Wanted, weights: Weights
) -> list[Scored]:
    """The same passages after a look at their texts: whether they can hold the answer."""
    again = [
        Scored(
            one.position,
            one.score * _fitness(texts[one.position], wanted, weights),
            one.coverage,
            one.holds_words,
            one.standing,
        )
        for one in scored
        if one.position in texts
    ]
    newest = max((one.position for one in again), default=1)
    return sorted(again, key=lambda one: -one.score * (1 + weights.recency * one.position / max(newest, 1)))


def _fitness(text: str, wanted: Wanted, weights: Weights) -> float:
    return 1.0 + weights.kind * bool(wanted.kind and _holds(text, wanted.kind))


_PLACE = re.compile(
    r"\b(?:in|into|at|on|from|to|near|under|behind|above|below|around|inside|by)"
    r" (?:the|a|an|my|our|his|her|their|[A-Z])"
)


def _holds(text: str, kind: str) -> bool:
    if kind == "person":
        return re.search(r"(?<![.!?]\s)(?<!^)\b[A-Z][a-z]{2,}", text) is not None
    if kind == "place":
        return _PLACE.search(text) is not None
    words = set(re.findall(r"[a-z']+", text.lower()))
    if kind == "number":
        return any(map(str.isdigit, text)) or bool(words & NUMBER_WORDS)
    return (
        bool(words & TIME_WORDS) or re.search(r"\d(st|nd|rd|th)\b|\d:\d\d|\b(19|20)\d\d\b", text) is not None
    )


def _spread(found: Postings, layout: Layout, weights: Weights) -> dict[int, float]:
    """How much of a term each passage has, its neighbours' share included."""
    amounts: dict[int, float] = dict(found)
    shares = ((1, weights.before), (-1, weights.after), (2, weights.second), (-2, weights.second))
    used = [(offset, share) for offset, share in shares if share]
    for position, sureness in found.items():
        members = layout.members(layout.traits(position).thread)
        rank_here = layout.rank(position)
        for offset, share in used:
            at = rank_here + offset
            if 0 <= at < len(members):
                other = members[at]
                amounts[other] = amounts.get(other, 0.0) + share * sureness
    return amounts


def _rarity(found: int, count: int) -> float:
    """Inverse document frequency, never negative; a word that is nowhere tells no more than one that is
    there once, for nothing can have it."""
    found = max(found, 1)
    return math.log(1 + (count - found + 0.5) / (found + 0.5))
