"""Reads from a question, and the conversation around it, what is to be looked up."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from shared_context.retrieval.dates import Period, periods_in
from shared_context.retrieval.segments import words_in
from shared_context.retrieval.stopwords import stopwords_of

MAX_TERMS = 24
"""More words than a question has; each costs an index lookup."""

MAX_QUESTION_CHARS = 2000
EARLIER_WEIGHT = 0.35
"""Of words from the turns before, against those of the question itself."""

QUOTED_WEIGHT = 1.5
NAME_WEIGHT = 1.25

_QUOTED = re.compile(r"[\"“„«]([^\"“”„«»]{2,80})[\"”“»]")


@dataclass(frozen=True, slots=True)
class Term:
    """One word that is looked for.

    Args:
        word: as it was written, in lower case.
        weight: its importance beside what its rarity says.
        own: of the question itself, not of what was said before it.
    """

    word: str
    weight: float = 1.0
    own: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a question asks for.

    Args:
        speakers: whose words are likely the answer; empty: anybody's.
        kind: `time`, `number`, `person`, `place` or "": what the answer must contain.
        periods: times it speaks of.
    """

    terms: tuple[Term, ...] = ()
    speakers: frozenset[str] = frozenset()
    kind: str = ""
    periods: tuple[Period, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what was said just before it, latest last.

    Args:
        asked_at: ISO 8601, what "last month" counts from; "" where nobody knows.
        speakers: words that mean a speaker, in lower case (`{"i": "user"}`).
    """

    text: str
    earlier: Sequence[str] = ()
    asked_at: str = ""
    speakers: Mapping[str, str] = field(default_factory=dict)


def read(question: Question) -> Wanted:
    """Pure; any text is a question."""
    text = question.text[:MAX_QUESTION_CHARS]
    words = words_in(text)
    named = [question.speakers[word] for word in words if word in question.speakers]
    speakers = frozenset(named)
    weights = _weights(text, words, question.speakers)
    own = set(weights)
    for distance, said in enumerate(reversed(question.earlier)):
        said_words = words_in(said[:MAX_QUESTION_CHARS])
        empty = stopwords_of(said_words)
        for word in said_words:
            if word not in empty and word not in question.speakers:
                weights.setdefault(word, EARLIER_WEIGHT / (1 + distance))
    best = sorted(weights, key=lambda word: -weights[word])[:MAX_TERMS]
    return Wanted(
        terms=tuple(Term(word, weights[word], word in own) for word in best),
        speakers=speakers if len(speakers) == 1 else frozenset(),
        kind=_kind(words),
        periods=periods_in(text, question.asked_at),
        text=text,
    )


def _weights(text: str, words: Sequence[str], speakers: Collection[str]) -> dict[str, float]:
    """Words worth looking up, with what the way they are written says about them."""
    empty = stopwords_of(words)
    useful = [word for word in words if word not in empty and word not in speakers]
    if not useful:
        useful = [word for word in words if word not in speakers] or list(words)
    weights = dict.fromkeys(useful, 1.0)
    for word in _inner_capitals(text):
        if word in weights:
            weights[word] = NAME_WEIGHT
    for quoted in _QUOTED.findall(text):
        for word in words_in(quoted):
            if word in weights:
                weights[word] = QUOTED_WEIGHT
    return weights


def _inner_capitals(text: str) -> list[str]:
    """Words with a capital that do not begin a sentence: names, mostly."""
    capitals = re.finditer(r"(?<![.!?:]\s)(?<!^)\b[A-ZÀ-Þ]\w+", text)
    return [match.group().lower() for match in capitals]


def _kind(words: Sequence[str]) -> str:
    said = " ".join(words[:4])
    if words[:1] == ["when"] or re.match(
        r"(by|since|until) when|(in |on |at )?(which|what) (day|date|time|month|year)", said
    ):
        return "time"
    if re.search(r"\bhow (many|much|old|long|often|far|expensive|big|large|tall)\b", " ".join(words)):
        return "number"
    if words[:1] and words[0] in ("who", "whom", "whose"):
        return "person"
    if words[:1] == ["where"] or re.match(
        r"(from |in |to |at )?(which|what) (place|city|town|country|street|room|school|hospital)", said
    ):
        return "place"
    return ""
