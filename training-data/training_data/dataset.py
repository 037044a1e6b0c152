"""From facts to examples: deduplicated, deterministic by seed, split without leakage.

The validation split holds wordings the training split has never seen: of every fact some
wordings are held out together with everything derived from them, and of the outside
questions whole stems, so that no filling of a held-out stem is trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from training_data.duplicates import joined
from training_data.errors import FactError
from training_data.facts import OUTSIDE, Fact, load_facts
from training_data.wording import FRAMES, meaning_key, vary

DEFAULT_SEED = 20261
DEFAULT_VAL_SPLIT = 0.12
FRAMES_PER_FACT = 9
FILLINGS_PER_STEM = 8
"""Fillings of a slot question that enter the dataset; all would drown the facts."""

Wording = Literal["written", "frame", "varied"]


@dataclass(frozen=True, slots=True)
class Example:
    """One line of the dataset.

    Args:
        instruction: the question.
        input: always empty; a field of the format that other datasets use.
        output: the answer.
        topic: file of facts it belongs to.
        fact: id of the fact.
        wording: by hand, from a frame, or a variation of one of these.
        stem: the question it was derived from; examples of one stem stay on one side of a split.
    """

    instruction: str
    input: str
    output: str
    topic: str
    fact: str
    wording: Wording
    stem: str

    def as_dict(self) -> dict[str, Any]:
        """What is written to a file."""
        return {
            "instruction": self.instruction,
            "input": self.input,
            "output": self.output,
            "topic": self.topic,
            "fact": self.fact,
            "wording": self.wording,
        }


@dataclass(frozen=True, slots=True)
class Split:
    train: tuple[Example, ...]
    val: tuple[Example, ...]


def build_examples(seed: int = DEFAULT_SEED, facts: Sequence[Fact] | None = None) -> tuple[Example, ...]:
    """All examples in the order of the facts; the same for the same seed.

    Raises:
        FactError: two facts claim the same question, so one of the answers would be wrong.
    """
    facts = load_facts() if facts is None else facts
    base = _base_examples(facts, seed)
    _check_claims(base)
    claimed = {meaning_key(example.instruction): example.fact for example in base}
    examples, texts = list(base), {example.instruction.casefold() for example in base}
    random = Random(f"{seed}:variations")
    for example in base:
        varied = vary(example.instruction, random)
        if varied.casefold() in texts:
            continue
        if claimed.get(meaning_key(varied), example.fact) != example.fact:
            continue
        texts.add(varied.casefold())
        examples.append(_example(example.fact, example.topic, example.output, varied, "varied", example.stem))
    order = {fact.fact_id: i for i, fact in enumerate(facts)}
    return tuple(sorted(examples, key=lambda example: order[example.fact]))


def split_examples(
    examples: Sequence[Example], val_split: float = DEFAULT_VAL_SPLIT, seed: int = DEFAULT_SEED
) -> Split:
    """Train and validation examples; near-duplicates are always on the same side.

    Args:
        examples: what `build_examples` gave.
        val_split: share of wordings to hold out, at least one of every fact; 0 holds out nothing.
        seed: which ones.

    Raises:
        ValueError: val_split is not in 0 ≤ val_split < 1.
    """
    if not 0 <= val_split < 1:
        raise ValueError(f"val_split must be at least 0 and below 1, not {val_split}.")
    groups = _near_duplicate_groups(examples)
    random = Random(f"{seed}:split")
    held: set[int] = set()
    if val_split:
        by_fact: dict[str, list[int]] = defaultdict(list)
        for number, members in enumerate(groups):
            by_fact[examples[members[0]].fact].append(number)
        for numbers in by_fact.values():
            count = min(len(numbers) - 1, max(1, round(len(numbers) * val_split)))
            held.update(random.sample(numbers, count))
    val = {i for number in held for i in groups[number]}
    return Split(
        train=tuple(example for i, example in enumerate(examples) if i not in val),
        val=tuple(example for i, example in enumerate(examples) if i in val),
    )


def fingerprint(split: Split) -> str:
    """SHA-256 over both sides: equal exactly when a model was trained and judged on the same data."""
    sides = [[example.as_dict() for example in side] for side in (split.train, split.val)]
    return hashlib.sha256(json.dumps(sides, ensure_ascii=False).encode()).hexdigest()


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write a JSON list, or JSONL when the name ends in .jsonl; atomically."""
    if path.suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        text = json.dumps(list(rows), ensure_ascii=False, indent=1) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)


def _base_examples(facts: Sequence[Fact], seed: int) -> list[Example]:
    """Wordings by hand and from frames; the same meaning is kept once per fact."""
    base: list[Example] = []
    for fact in facts:
        random = Random(f"{seed}:{fact.fact_id}")
        seen: set[str] = set()
        for text, stem, wording in [*_written(fact, random), *_framed(fact, random)]:
            key = text.casefold().strip(" ?.!")
            if key not in seen:
                seen.add(key)
                base.append(_example(fact.fact_id, fact.topic, fact.answer, text, wording, stem))
    return base


def _written(fact: Fact, random: Random) -> list[tuple[str, str, Wording]]:
    fillings: dict[str, list[str]] = defaultdict(list)
    for question in fact.questions:
        fillings[question.stem].append(question.text)
    chosen: list[tuple[str, str, Wording]] = []
    for stem, texts in fillings.items():
        texts = random.sample(texts, FILLINGS_PER_STEM) if len(texts) > FILLINGS_PER_STEM else texts
        chosen += [(text, stem, "written") for text in texts]
    return chosen


def _framed(fact: Fact, random: Random) -> list[tuple[str, str, Wording]]:
    pairs = [(frame, term) for frame in FRAMES for term in fact.terms]
    chosen = random.sample(pairs, min(FRAMES_PER_FACT, len(pairs)))
    texts = [frame.format(term) for frame, term in chosen]
    return [(text[:1].upper() + text[1:], text, "frame") for text in texts]


def _example(fact: str, topic: str, answer: str, text: str, wording: Wording, stem: str) -> Example:
    return Example(text, "", answer, topic, fact, wording, f"{fact}/{stem}")


def _check_claims(examples: Sequence[Example]) -> None:
    claims: dict[frozenset[str], Example] = {}
    clashes = []
    for example in examples:
        other = claims.setdefault(meaning_key(example.instruction), example)
        if other.output != example.output:
            clashes.append(f"{other.fact}: {other.instruction!r} / {example.fact}: {example.instruction!r}")
    if clashes:
        raise FactError("Two facts claim the same question: " + "; ".join(clashes))


def _near_duplicate_groups(examples: Sequence[Example]) -> list[list[int]]:
    """Indices joined by a common stem or a common meaning."""
    first: dict[Any, int] = {}
    keys = ((i, key) for i, e in enumerate(examples) for key in (e.stem, meaning_key(e.instruction)))
    return joined(len(examples), ((i, first.setdefault(key, i)) for i, key in keys))


def is_outside(example: Example) -> bool:
    """Whether the right answer is that the model does not know."""
    return example.topic == OUTSIDE
