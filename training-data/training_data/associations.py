"""Which words point to which fact: handfuls of them make questions nobody has written.

A model that has seen a fact asked for in twenty ways knows these twenty. What it should
know is that "heartbeat", "silence" and "dead" together mean the relay, whatever stands
between them. So part of the training questions are a few telling words of a fact, drawn
from all its training wordings and its answer.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random

from training_data.dataset import Example
from training_data.wording import plain_words, words

FEWEST, MOST = 2, 5
_FRAMES = (
    "{}",
    "{}",
    "{}?",
    "What about {}?",
    "Tell me about {}.",
    "How does {} work?",
    "Explain {}.",
    "Help with {}",
    "Where is {}?",
    "What is {}?",
    "How do I {}?",
    "Can I {}?",
)
_UNTELLING = frozenset(
    words(
        "a an and any are as at be by can could do does for from has have how i if in into is it its me my no not "
        "of on one only or our say so some tell than that the their them then there they this to was we what when "
        "where which who why will with would you your please explain describe define mean meant know short"
    )
)


class Associations:
    """Telling words of each fact, weighted by how few facts share them.

    Args:
        examples: the training split only; a word is known from nothing else.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        vocabulary: dict[str, set[str]] = defaultdict(set)
        for example in examples:
            varied = example.wording == "varied"  # its typing errors are no words
            text = example.output if varied else f"{example.instruction} {example.output}"
            vocabulary[example.fact] |= _telling(text)
        facts_with = Counter(word for known in vocabulary.values() for word in known)
        self._words = {fact: sorted(known) for fact, known in vocabulary.items()}
        self._weights = {
            fact: [math.log(1 + len(vocabulary) / facts_with[word]) ** 3 for word in known]
            for fact, known in self._words.items()
        }

    def question(self, fact: str, random: Random) -> str:
        """A handful of telling words, bare or in a frame."""
        known, weights = self._words[fact], self._weights[fact]
        count = min(random.randint(FEWEST, MOST), len(known))
        chosen: list[str] = []
        while len(chosen) < count:
            word = random.choices(known, weights)[0]
            if word not in chosen:
                chosen.append(word)
        return random.choice(_FRAMES).format(" ".join(chosen))


def _telling(text: str) -> set[str]:
    return {word for word in plain_words(text) if word not in _UNTELLING}
