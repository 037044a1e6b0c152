"""Whether other words say the same, as far as that can be checked without understanding. Pure.

Allowed: articles and fillers come or go, contractions are written out, the first letter and the
punctuation change. Everything else must be there, in the same order and spelling: no name, number,
path or negation can be added, dropped, changed or swapped. What fails is not used.
"""

from __future__ import annotations

import re

from orchestrator_core.handoff.extract import is_storable
from orchestrator_core.handoff.units import listed

_FREE = listed(
    """
    a an the so then also just really very well ok okay hm hmm um uh please anyway basically actually yes yeah yep
    right great good thanks now and that alright cool
    der die das den dem des ein eine einen einem einer eines also dann ja halt eben mal bitte gut und na naja ok prima
    le la les l un une alors donc bon bah et oui el los las unos unas pues bueno entonces y sí vale
    """
)
"""Words that may come and go."""

_CONTRACTIONS = (
    (re.compile(r"\b(can)['’]?not\b|\bcan['’]t\b", re.IGNORECASE), "can not"),
    (re.compile(r"\bwon['’]t\b", re.IGNORECASE), "will not"),
    (re.compile(r"n['’]t\b", re.IGNORECASE), " not"),
    (re.compile(r"['’]ll\b", re.IGNORECASE), " will"),
    (re.compile(r"['’]ve\b", re.IGNORECASE), " have"),
    (re.compile(r"['’]re\b", re.IGNORECASE), " are"),
    (re.compile(r"['’]m\b", re.IGNORECASE), " am"),
    (re.compile(r"\blet['’]s\b", re.IGNORECASE), "let us"),
)
_EDGES = ".,;:!?…\"'“”„‘’«»()*_–—-"


def says_the_same(original: str, reworded: str) -> bool:
    """Whether `reworded` may stand for `original`."""
    if not is_storable(reworded) or "\n" in reworded or len(reworded) > len(original) + 20:
        return False
    if original.count("?") != reworded.count("?") or original.count("`") != reworded.count("`"):
        return False
    before, after = _weighty(original), _weighty(reworded)
    return bool(before) and before == after


def _weighty(text: str) -> list[str]:
    """The words that carry the sense, in order. Of the sentence's first one the case of a capital
    says nothing."""
    for pattern, written_out in _CONTRACTIONS:
        text = pattern.sub(written_out, text)
    found: list[str] = []
    for position, token in enumerate(text.split()):
        word = _stripped(token)
        if not word or word.lower() in _FREE:
            continue
        initial = not found and word[:1].isupper() and word[1:].islower()
        found.append(word.lower() if initial or (position == 0 and word.islower()) else word)
    return found


def _stripped(token: str) -> str:
    """Without punctuation around it; a sign before a number and a dot before a name belong to it."""
    word = token.rstrip(_EDGES)
    bare = word.lstrip(_EDGES)
    lead = word[: len(word) - len(bare)]
    return bare if not lead or lead[-1] not in "-–." or not bare[:1].isalnum() else lead[-1] + bare
