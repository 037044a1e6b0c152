from __future__ import annotations

from shared_context.retrieval.fusion import Vectors, fused


def test_what_two_rankings_have_near_the_top_beats_the_best_of_one() -> None:
    order = [item for item, _ in fused((["only here", "both", "x"], ["both", "y", "z"]))]
    assert order[:2] == ["both", "only here"]


def test_a_ranking_can_count_less() -> None:
    assert fused((["a"], ["b"]), [0.1, 1.0])[0][0] == "b"


def test_the_closest_in_meaning_comes_first_and_stands_out() -> None:
    vectors: Vectors[str] = Vectors()
    for name, vector in {"a": [1.0, 0.0], "b": [0.9, 0.1], "o": [0.0, 3.0]}.items():
        vectors.put(name, vector)
    (first, standing), (_, less) = vectors.nearest([0.1, 5.0], 2)
    assert first == "o"
    assert standing > 1 > less
    assert Vectors[str]().nearest([1.0], 2) == []


def test_stored_bytes_are_the_same_vector() -> None:
    vectors: Vectors[str] = Vectors()
    stored = vectors.put("a", [3.0, 4.0])
    again: Vectors[str] = Vectors()
    assert again.put("a", stored) == stored
    assert again.nearest([3.0, 4.0], 1) == vectors.nearest([3.0, 4.0], 1)


def test_the_oldest_vectors_make_room() -> None:
    vectors: Vectors[int] = Vectors(most_bytes=4 * 2 * 10)
    for number in range(100):
        vectors.put(number, [1.0, number])
    assert len(vectors) <= 10
    assert vectors.nearest([1.0, 99.0], 1)[0][0] == 99
