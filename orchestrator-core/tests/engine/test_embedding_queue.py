from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.engine.embedding_queue import TextsJob, next_of, windows


@given(st.lists(st.integers(0, 9), max_size=200), st.integers(1, 50))
def test_windows_hold_every_token_once_and_are_about_as_long(tokens: list[int], room: int) -> None:
    parts = windows(tokens, room)
    assert [token for part in parts for token in part] == tokens
    assert len(parts) == max(1, -(-len(tokens) // room))
    assert max(map(len, parts)) <= room
    assert max(map(len, parts)) - min(map(len, parts)) <= len(parts)


@given(
    st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=4), min_size=1, max_size=12),
    st.integers(1, 40),
    st.integers(1, 5),
)
def test_every_part_is_taken_once_and_batches_keep_their_bounds(
    lengths: list[list[int]], tokens: int, texts: int
) -> None:
    job = TextsJob(1, [[[0] * length for length in parts] for parts in lengths])
    taken = []
    while job.left:
        batch = job.take(tokens, texts)
        assert 1 <= len(batch) <= texts
        assert len(batch) == 1 or sum(len(part.tokens) for part in batch) <= tokens
        taken += [(part.text, len(part.tokens)) for part in batch]
    assert taken == [(text, length) for text, parts in enumerate(lengths) for length in parts]


def test_a_long_text_is_the_mean_of_its_parts_by_tokens() -> None:
    job = TextsJob(1, [[[0] * 30, [0] * 10], [[0]]])
    for part, vector in zip(job.take(100, 9), ([2.0, 0.0], [0.0, 5.0], [0.0, -3.0]), strict=True):
        job.put(part, np.array(vector, dtype=np.float32))
    first, second = job.vectors()
    assert first == pytest.approx([3 / 10**0.5, 1 / 10**0.5])
    assert second == pytest.approx([0.0, -1.0])


def test_a_question_goes_before_passages_that_came_first() -> None:
    passages, question, other = (
        TextsJob(number, [[[0]]] * count) for number, count in ((1, 9), (2, 1), (3, 1))
    )
    assert next_of([passages, question, other]) is question
