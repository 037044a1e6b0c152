"""The part of this project's dataset that a demonstration on a CPU has time for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from random import Random

from training_data.dataset import Example, Split, build_examples, split_examples

TOPICS = ("continuity", "handoff", "architecture", "practice")


def demo_split(facts_per_topic: int, wordings: int, held_out: int, seed: int = 1) -> Split:
    """Some facts of every topic, each with some wordings to learn and others to be asked in.

    Args:
        facts_per_topic: at most; fewer where a topic has no more.
        wordings: per fact, learnt.
        held_out: per fact, asked only; no paraphrase of them is learnt.
    """
    split = split_examples(build_examples())
    chosen = _chosen_facts(split.train, facts_per_topic, seed)
    return Split(_some(split.train, chosen, wordings, seed), _some(split.val, chosen, held_out, seed))


def without(examples: Sequence[Example], topic: str) -> tuple[Example, ...]:
    """All but one topic."""
    return tuple(example for example in examples if example.topic != topic)


def _chosen_facts(examples: Sequence[Example], count: int, seed: int) -> frozenset[str]:
    by_topic: dict[str, dict[str, None]] = defaultdict(dict)
    for example in examples:
        by_topic[example.topic][example.fact] = None
    chosen: set[str] = set()
    for topic in TOPICS:
        facts = list(by_topic[topic])
        chosen.update(Random(f"{seed}:{topic}").sample(facts, min(count, len(facts))))
    return frozenset(chosen)


def _some(examples: Sequence[Example], facts: frozenset[str], count: int, seed: int) -> tuple[Example, ...]:
    by_fact: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if example.fact in facts:
            by_fact[example.fact].append(example)
    some: list[Example] = []
    for fact, rows in by_fact.items():
        some += Random(f"{seed}:{fact}").sample(rows, min(count, len(rows)))
    return tuple(some)
