from __future__ import annotations

from collections.abc import Sequence

from shared_context.retrieval.fusion import Vectors, fused


class Letters:
    """Vectors of how often each vowel occurs."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[float(text.count(vowel)) for vowel in "aeiou"] for text in texts]


def test_what_two_rankings_have_near_the_top_beats_the_best_of_one() -> None:
    order = [item for item, _ in fused((["only here", "both", "x"], ["both", "y", "z"]))]
    assert order[:2] == ["both", "only here"]


def test_a_ranking_can_count_less() -> None:
    assert fused((["a"], ["b"]), [0.1, 1.0])[0][0] == "b"


def test_the_closest_in_meaning_comes_first() -> None:
    vectors = Vectors(Letters())
    vectors.add([("message", text, 0) for text in ("aaa", "oooo", "")], ["aaa", "oooo", ""])
    assert vectors.nearest("oo", 2)[0] == ("message", "oooo", 0)
    assert Vectors(Letters()).nearest("oo", 2) == []
