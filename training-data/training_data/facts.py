"""The facts the built-in model is taught, read from the YAML files in `facts/`.

A file per topic, so that a person can review what the model will say. Nothing here
knows how questions are varied or split: see `wording` and `dataset`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import product
from string import Formatter
from typing import Any

import yaml

from training_data.errors import FactError

TOPICS = ("continuity", "handoff", "architecture", "practice", "talk")
"""One YAML file each; the first four are the topics of the fine-tuning specification."""

OUTSIDE = "outside"
MIN_ANSWER_WORDS, MAX_ANSWER_WORDS = 8, 36


@dataclass(frozen=True, slots=True)
class FactQuestion:
    """One wording. `stem` is what all fillings of one slot question have in common."""

    text: str
    stem: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One answer and the wordings by hand that ask for it.

    Args:
        fact_id: unique over all files.
        topic: the file it comes from.
        answer: what the model is to say, 8 to 36 words.
        questions: wordings by hand.
        terms: names that fit into "What is ...?" frames.
    """

    fact_id: str
    topic: str
    answer: str
    questions: tuple[FactQuestion, ...]
    terms: tuple[str, ...] = ()


def load_facts() -> tuple[Fact, ...]:
    """All facts, in file order.

    Raises:
        FactError: a file does not have the expected shape.
    """
    facts = [_fact(topic, entry) for topic in TOPICS for entry in _read(topic)]
    facts += _outside(_read(OUTSIDE))
    seen: set[str] = set()
    for fact in facts:
        if fact.fact_id in seen:
            raise FactError(f"The fact id {fact.fact_id!r} is used twice.")
        seen.add(fact.fact_id)
    return tuple(facts)


def _read(topic: str) -> Any:
    file = resources.files("training_data").joinpath("facts", f"{topic}.yaml")
    return yaml.safe_load(file.read_text("utf-8"))


def _fact(topic: str, entry: Mapping[str, Any]) -> Fact:
    name = f"{topic}.yaml: {entry.get('id')!r}"
    unknown = set(entry) - {"id", "answer", "ask", "terms"}
    if unknown:
        raise FactError(f"{name} has unknown keys: {', '.join(sorted(unknown))}.")
    answer = _answer(name, entry)
    questions = tuple(FactQuestion(text, text) for text in _texts(name, entry.get("ask")))
    terms = tuple(_texts(name, entry.get("terms", [])))
    return Fact(str(entry["id"]), topic, answer, questions, terms)


def _answer(name: str, entry: Mapping[str, Any]) -> str:
    answer = " ".join(str(entry.get("answer", "")).split())
    words = len(answer.split())
    if not MIN_ANSWER_WORDS <= words <= MAX_ANSWER_WORDS:
        raise FactError(
            f"{name} has an answer of {words} words; it must have {MIN_ANSWER_WORDS} to {MAX_ANSWER_WORDS}."
        )
    return answer


def _texts(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise FactError(f"{name} needs a list of texts, not {value!r}.")
    return value


def _outside(content: Mapping[str, Any]) -> Iterator[Fact]:
    slots: Mapping[str, list[str]] = content["slots"]
    for group in content["groups"]:
        name = f"{OUTSIDE}.yaml: {group.get('id')!r}"
        questions = [
            FactQuestion(filled, stem) for stem in _texts(name, group["ask"]) for filled in _fill(stem, slots)
        ]
        yield Fact(str(group["id"]), OUTSIDE, _answer(name, group), tuple(questions))


def _fill(stem: str, slots: Mapping[str, list[str]]) -> Iterator[str]:
    names = [field for _, field, _, _ in Formatter().parse(stem) if field]
    for values in product(*(slots[name] for name in names)):
        yield stem.format(**dict(zip(names, values, strict=True)))
