"""How one question becomes many: frames, politeness, haste, typing errors. Pure functions.

`meaning_key` is the other half: it says when two wordings are so alike that one in the
training set would give away the other in the validation set.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from random import Random


def words(text: str) -> tuple[str, ...]:
    """A list of words that reads as a line."""
    return tuple(text.split())


FRAMES = (
    "What is {}?",
    "What's {}?",
    "Explain {}.",
    "Can you explain {}?",
    "Tell me about {}.",
    "Define {}.",
    "What does {} mean?",
    "Describe {}.",
    "What do you know about {}?",
    "{}",
    "Give me a short explanation of {}.",
    "What is meant by {}?",
    "How would you describe {}?",
    "Help me understand {}.",
    "I do not understand {}.",
    "What exactly is {}?",
    "{}, what is that?",
    "Say something about {}.",
)
"""Ways to ask what a thing is."""

_BEFORE = (
    "Please tell me: {}",
    "Quick question: {}",
    "Can you tell me: {}",
    "I would like to know: {}",
    "I want to know, {}",
    "Hey, {}",
    "Sorry, {}",
    "One more question: {}",
    "Please, {}",
    "Could you say, {}",
    "And {}",
    "So {}",
    "Tell me, {}",
    "I am new here. {}",
)
_AFTER = (
    "{} Thanks!",
    "{} Please explain.",
    "{} Please answer briefly.",
    "{} Thank you.",
    "{} I am new here.",
    "{} Just curious.",
    "{}?",
)
_FILLERS = frozenset(
    words(
        "a an and answer briefly can could curious exactly explain hey here i am just know like me more new "
        "now one please question quick say so sorry tell thank thanks that the to want what whats would you"
    )
)
_DROPPED_IN_HASTE = frozenset(
    words(
        "a an the is are do does did i my me we you your it its to of for in on at with what how can there be should "
        "will which who where when has have this that and or from by"
    )
)
_CONTRACTIONS = {"what's": "what is", "don't": "do not", "can't": "cannot", "i'm": "i am", "it's": "it is"}


def meaning_key(text: str) -> frozenset[str]:
    """What is left of a question without case, punctuation, order and politeness.

    Two questions with equal keys count as near-duplicates. A question that consists of
    fillers only ("What would you say?") keeps them.
    """
    words = plain_words(text)
    kept = frozenset(word for word in words if word not in _FILLERS)
    return kept or frozenset(words)


def plain_words(text: str) -> list[str]:
    """Lower-case words without punctuation; dots, underscores and slashes inside a word stay."""
    lowered = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    for short, full in _CONTRACTIONS.items():
        lowered = lowered.replace(short, full)
    words: list[str] = []
    for run in re.findall(r"[\w./+*:-]+", lowered):
        start = run.lstrip(".:-")
        word = start.rstrip("./:-")
        words += [word] * bool(word) + ["/"] * start[len(word) :].count("/")
    return words


def polite(text: str, random: Random) -> str:
    """The question with words around it that change nothing."""
    if random.random() < 0.25:
        return random.choice(_AFTER).format(text).replace("??", "?").replace(".?", "?")
    frame = random.choice(_BEFORE)
    return frame.format(text if frame.endswith((": {}", ". {}")) else _lower_first(text))


def hasty(text: str, random: Random) -> str:
    """As typed in a hurry: lower case, no mark at the end."""
    plain = text.rstrip(" ?.!")
    return plain if random.random() < 0.3 else plain.lower()


def keywords(text: str, random: Random) -> str:
    """Only the words that carry meaning, as one types into a search box."""
    kept = [word for word in text.rstrip(" ?.!").split() if word.lower() not in _DROPPED_IN_HASTE]
    short = " ".join(kept)
    return (short if random.random() < 0.3 else short.lower()) if len(kept) >= 2 else text


def mistyped(text: str, random: Random) -> str:
    """One or two longer words with a letter lost, doubled or swapped."""
    words = text.split(" ")
    long_words = [i for i, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    for i in random.sample(long_words, min(len(long_words), random.choice((1, 1, 2)))):
        words[i] = _misspell(words[i], random)
    return " ".join(words)


def without_a_word(text: str, random: Random) -> str:
    """One unimportant word is missing."""
    words = text.split(" ")
    small = [i for i, word in enumerate(words) if word.lower() in _DROPPED_IN_HASTE]
    if len(words) < 4 or not small:
        return text
    del words[random.choice(small)]
    return " ".join(words)


def thinned(text: str, random: Random) -> str:
    """About a sixth of the words lost, sometimes two neighbours swapped; for training only,
    since what is left need not be understandable."""
    words_ = text.split(" ")
    kept = [word for word in words_ if random.random() > 0.17] if len(words_) > 3 else words_
    if len(kept) > 3 and random.random() < 0.3:
        i = random.randrange(len(kept) - 1)
        kept[i], kept[i + 1] = kept[i + 1], kept[i]
    return " ".join(kept) or text


VARIATIONS: tuple[Callable[[str, Random], str], ...] = (
    polite,
    hasty,
    mistyped,
    keywords,
    without_a_word,
)


def vary(text: str, random: Random) -> str:
    """The question after one variation, or two."""
    text = random.choice(VARIATIONS)(text, random)
    if random.random() < 0.3:
        text = random.choice((hasty, mistyped))(text, random)
    return text


def _lower_first(text: str) -> str:
    first = text.split(" ", 1)[0]
    return text if first != first.capitalize() or first == "I" else text[:1].lower() + text[1:]


def _misspell(word: str, random: Random) -> str:
    i = random.randrange(1, len(word) - 1)
    kind = random.randrange(3)
    if kind == 0:
        return word[:i] + word[i + 1 :]
    if kind == 1:
        return word[:i] + word[i] + word[i:]
    return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
