from __future__ import annotations

from fine_tuning.training.batch_order import batch_order
from hypothesis import given
from hypothesis import strategies as st

lengths = st.lists(st.integers(1, 500), max_size=200)


@given(lengths, st.integers(1, 16), st.integers(), st.integers(0, 9))
def test_every_example_comes_once_and_in_the_same_order_for_the_same_seed_and_epoch(sizes, step, seed, epoch):
    order = batch_order(sizes, step, seed, epoch)
    assert sorted(order) == list(range(len(sizes)))
    assert order == batch_order(sizes, step, seed, epoch)


def test_another_epoch_has_another_order():
    assert batch_order([5] * 64, 4, 1, 0) != batch_order([5] * 64, 4, 1, 1)


def test_batches_of_like_length_pad_less_than_half_of_what_chance_does():
    sizes = [1 + (37 * i) % 400 for i in range(400)]

    def padding(order):
        batches = [[sizes[i] for i in order[at : at + 4]] for at in range(0, len(order), 4)]
        return sum(max(batch) * len(batch) - sum(batch) for batch in batches)

    assert padding(batch_order(sizes, 4, 1, 0)) < padding(range(400)) / 2
