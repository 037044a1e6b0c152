"""Answers of a model to a file of questions, scored: EM, F1, length, perplexity.

Three settings, because the server never sends a bare question:

    bare         the question alone
    server       the server's system text and a time line
    documents    the same with an owner's four handoff documents
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from training_data.errors import DatasetError
from training_data.reader import read_records
from training_data.records import Record

from fine_tuning.errors import EvaluationError
from fine_tuning.evaluation.answerers import GREEDY, Answerer, Sampling
from fine_tuning.evaluation.contexts import OWNERS, server_question, server_system_text
from fine_tuning.evaluation.metrics import Scores, score

SETTINGS = ("bare", "server", "documents")


@dataclass(frozen=True, slots=True)
class Item:
    """One question with its right answer, and what was said before it (roles and texts)."""

    question: str
    truth: str
    topic: str = ""
    fact: str = ""
    wording: str = ""
    earlier: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    item: Item
    answer: str


def load_items(path: Path) -> list[Item]:
    """Items of a dataset file in any form that `training_data.reader` reads.

    Raises:
        EvaluationError: it cannot be used; each fault has its line.
    """
    try:
        records = read_records(path)
    except DatasetError as error:
        raise EvaluationError(error.message) from error
    return [_item(record) for record in records]


def item_of(row: Any) -> Item:
    """An item of an example of the dataset."""
    return Item(row.instruction, row.output, row.topic, row.fact, row.wording)


def run(
    model: Answerer,
    items: Sequence[Item],
    setting: str = "bare",
    *,
    max_tokens: int = 96,
    sampling: Sampling = GREEDY,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Answered]:
    """Answers to all items in one setting, in the order of the items.

    With documents the owners take turns by halves, so that each one's prefix is computed once.
    Sampled answers have a seed each: with one for all, a lucky seed would flatter every answer.
    """
    answered = []
    for number, item in enumerate(items):
        said = model.reply(
            _messages(item, setting, number, len(items)),
            max_tokens=max_tokens,
            sampling=replace(sampling, seed=sampling.seed + number) if sampling.temperature else sampling,
        )
        answered.append(Answered(item, said))
        progress(number + 1)
    return answered


def perplexity(model: Answerer, items: Sequence[Item], setting: str = "bare") -> float | None:
    """How surprised the model is by a token of the right answers: 1 means not at all.

    None where a backend cannot tell. Comparable between models with the same tokenizer only.
    """
    total, tokens = 0.0, 0
    for number, item in enumerate(items):
        surprise = model.surprise(_messages(item, setting, number, len(items)), item.truth)
        if surprise is None:
            return None
        total, tokens = total + surprise[0], tokens + surprise[1]
    return math.exp(min(total / tokens, 700.0)) if tokens else None


def overall(answered: Iterable[Answered]) -> Scores:
    return score((row.answer, row.item.truth) for row in answered)


def by(answered: Sequence[Answered], field: str) -> dict[str, Scores]:
    """Scores per topic, fact or wording, in order of first appearance."""
    names = dict.fromkeys(getattr(row.item, field) for row in answered)
    return {name: overall(row for row in answered if getattr(row.item, field) == name) for name in names}


def sample(items: Sequence[Item], count: int, seed: int = 1) -> list[Item]:
    """A fixed sample in the original order; everything when there are not more."""
    if len(items) <= count:
        return list(items)
    chosen = sorted(Random(seed).sample(range(len(items)), count))
    return [items[number] for number in chosen]


def _messages(item: Item, setting: str, number: int, count: int) -> list[dict[str, str]]:
    earlier = [{"role": role, "content": content} for role, content in item.earlier]
    if setting == "bare":
        return [*earlier, {"role": "user", "content": item.question}]
    owner = OWNERS[number * len(OWNERS) // count] if setting == "documents" else None
    spoken = [message for message in earlier if message["role"] != "system"]
    asked = {"role": "user", "content": server_question(item.question, number)}
    return [{"role": "system", "content": server_system_text(owner)}, *spoken, asked]


def _item(record: Record) -> Item:
    earlier = tuple((turn.role, turn.content) for turn in record.turns[:-2])
    labels = {name: getattr(record, name) for name in ("topic", "fact", "wording")}
    return Item(record.question, record.answer, **labels, earlier=earlier)
