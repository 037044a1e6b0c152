"""Words that a question needs but does not look for, by language, from the lists of stopwords-iso."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from types import MappingProxyType

from shared_context.retrieval.segments import visible_words_in, words_in


def stopwords_of(words: Collection[str]) -> frozenset[str]:
    """Those of the words that are empty in the language that most of them belong to: a word that is
    empty in one language may be what is asked for in another ("die", "war")."""
    return _lists()[language_of(words)].intersection(words)


def language_of(words: Collection[str]) -> str:
    """ISO 639-1 code of the language that most of the words are empty words of; `en` when in doubt."""
    shared = {language: len(listed.intersection(words)) for language, listed in _lists().items()}
    return max(shared, key=lambda language: (shared[language], language == "en"))


def telling_words_in(text: str) -> frozenset[str]:
    """Words of a question as they stand in a text that answers it, without the empty ones if there are others."""
    words = visible_words_in(text)
    return frozenset(words) - stopwords_of(words) or frozenset(words)


@cache
def _lists() -> Mapping[str, frozenset[str]]:
    import stopwordsiso

    def single(language: str) -> frozenset[str]:
        terms = (words_in(word) for word in stopwordsiso.stopwords(language))
        return frozenset(parts[0] for parts in terms if len(parts) == 1)

    return MappingProxyType({language: single(language) for language in sorted(stopwordsiso.langs())})
