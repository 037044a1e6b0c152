"""Train and validation sides that share no fact: what is held out is nowhere trained on, not even in other words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from random import Random

from training_data.duplicates import ALIKE, joined, similar
from training_data.records import Record


def split_by_fact(
    records: Sequence[Record], share: float, seed: int
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """(train, validation), each in the order given.

    Records of one fact, and records whose questions or answers are alike, stay on one side. Of
    every topic about `share` is held out, by whole groups, and never all of it.

    Raises:
        ValueError: not 0 ≤ share < 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"The share held out must be at least 0 and below 1, not {share}.")
    groups = joined(len(records), _inseparable(records))
    by_topic: dict[str, list[list[int]]] = defaultdict(list)
    for group in groups:
        by_topic[records[group[0]].topic].append(group)
    held: set[int] = set()
    for topic, members in by_topic.items():
        wanted = share * sum(map(len, members))
        held.update(_chosen(members, wanted, Random(f"{seed}:facts:{topic}")))
    train = tuple(record for i, record in enumerate(records) if i not in held)
    return train, tuple(record for i, record in enumerate(records) if i in held)


def _inseparable(records: Sequence[Record]) -> Iterator[tuple[int, int]]:
    first: dict[str, int] = {}
    for i, record in enumerate(records):
        if record.fact:
            yield first.setdefault(record.fact, i), i
    for role in ("user", "assistant"):
        texts = [
            (turn.content, i)
            for i, record in enumerate(records)
            for turn in record.turns
            if turn.role == role
        ]
        for one, other in similar([text for text, _ in texts], ALIKE):
            yield texts[one][1], texts[other][1]


def _chosen(groups: list[list[int]], wanted: float, random: Random) -> Iterator[int]:
    """Random groups up to about `wanted` members; at least one where something is wanted, never all."""
    left, taken = wanted, 0
    for group in random.sample(groups, len(groups)):
        if taken < len(groups) - 1 and len(group) <= left * 1.25:
            left -= len(group)
            taken += 1
            yield from group
    if wanted and not taken and len(groups) > 1:
        yield from min(groups, key=len)
