"""Words of a text as they are looked up, also in scripts that put no spaces between them."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]+"
)
"""Thai, Lao, Burmese, Khmer, Hiragana, Katakana, Han."""


def words_in(text: str) -> list[str]:
    """In lower case; of a run without spaces each two neighbouring characters, as `pairs_in` has them."""
    spaced = _UNSPACED.sub(" ", text).replace("'", " ").replace("’", " ")
    return [*(word.lower() for word in _WORD.findall(spaced)), *pairs_in(text)]


def visible_words_in(text: str) -> list[str]:
    """The same as they stand in a text: to find the place again where they match."""
    spaced = words_in(_UNSPACED.sub(" ", text))
    return [*spaced, *(pair for run in _UNSPACED.findall(text) for pair in _pairs(run))]


def pairs_in(text: str) -> list[str]:
    """Each two neighbouring characters of what is written without spaces, as one word of ASCII letters:
    FTS5's tokenizer would part some scripts at their vowel signs."""
    return [_word(pair) for run in _UNSPACED.findall(text) for pair in _pairs(run)]


def _pairs(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for at in range(len(run) - 1):
        yield run[at : at + 2]


def _word(pair: str) -> str:
    return "u" + "".join(f"{ord(character):05x}" for character in pair)


_SENTENCE = re.compile(r"[^.!?。！？؟\n]+[.!?。！？؟]*")


def asked_part(text: str) -> float:
    """How much of a text asks, 0 to 1."""
    sentences = _SENTENCE.findall(text)
    asking = sum(len(sentence) for sentence in sentences if sentence.endswith(("?", "？", "؟")))
    return asking / max(1, sum(map(len, sentences)))
