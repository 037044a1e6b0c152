"""The order of a training's examples: alike in length within a batch, and the same for the same seed and epoch.

transformers' own grouping draws from the global random state, so a resumed run would see other batches
than the interrupted one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

POOL = 16
"""Steps whose examples are sorted together: enough to save padding, few enough to stay random."""


def batch_order(lengths: Sequence[int], step_size: int, seed: int, epoch: int) -> list[int]:
    """Indices of all examples in the order they are learnt.

    Args:
        lengths: tokens per example.
        step_size: examples of one optimiser step, whatever the batch: halving the batch changes no step.
    """
    random = Random(f"{seed}:{epoch}")
    order = list(range(len(lengths)))
    random.shuffle(order)
    pool = POOL * step_size
    steps: list[list[int]] = []
    for start in range(0, len(order), pool):
        alike = sorted(order[start : start + pool], key=lambda index: lengths[index])
        steps += [alike[first : first + step_size] for first in range(0, len(alike), step_size)]
    # A short step stays last, where the end of the epoch cuts it anyway.
    last = steps.pop() if steps and len(steps[-1]) < step_size else []
    random.shuffle(steps)
    return [index for step in [*steps, last] for index in step]


class BatchOrder:
    """`batch_order` as a sampler of torch; accelerate calls `set_epoch`."""

    def __init__(self, lengths: Sequence[int], step_size: int, seed: int) -> None:
        self._lengths = lengths
        self._step_size = step_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(batch_order(self._lengths, self._step_size, self._seed, self._epoch))
