from __future__ import annotations

import json
from collections import Counter

import pytest
from training_data.dataset import (
    build_examples,
    fingerprint,
    is_outside,
    split_examples,
    write_rows,
)
from training_data.errors import FactError
from training_data.facts import Fact, FactQuestion
from training_data.wording import meaning_key, plain_words

EXAMPLES = build_examples()
SPLIT = split_examples(EXAMPLES)


def fact(fact_id: str, answer: str, *questions: str) -> Fact:
    return Fact(fact_id, "talk", answer, tuple(FactQuestion(text, text) for text in questions))


def test_there_are_at_least_a_thousand_examples_and_no_two_alike():
    texts = [example.instruction.casefold() for example in EXAMPLES]
    assert len(texts) >= 1000
    assert [text for text, count in Counter(texts).items() if count > 1] == []


def test_the_four_topics_each_have_a_fair_part():
    topics = Counter(example.topic for example in EXAMPLES)
    assert min(topics[topic] for topic in ("continuity", "handoff", "architecture", "practice")) >= 300


def test_what_is_outside_is_answered_with_not_knowing():
    answers = {example.output for example in EXAMPLES if is_outside(example)}
    assert all("I don't know" in answer or "I can't" in answer for answer in answers)


def test_one_question_has_one_answer():
    answers: dict[frozenset[str], set[str]] = {}
    for example in EXAMPLES:
        answers.setdefault(meaning_key(example.instruction), set()).add(example.output)
    assert {key: texts for key, texts in answers.items() if len(texts) > 1} == {}


def test_facts_that_claim_the_same_question_are_refused():
    facts = [fact("a", "one answer", "What is X?"), fact("b", "another answer", "what's the x")]
    with pytest.raises(FactError, match=r"a: 'What is X\?' / b"):
        build_examples(facts=facts)


def test_the_same_seed_gives_the_same_dataset_and_another_seed_another():
    assert build_examples() == EXAMPLES
    assert build_examples(seed=2) != EXAMPLES
    assert fingerprint(split_examples(EXAMPLES)) == fingerprint(SPLIT)
    assert fingerprint(split_examples(EXAMPLES, seed=2)) != fingerprint(SPLIT)


def test_the_split_loses_and_doubles_nothing():
    assert Counter(SPLIT.train + SPLIT.val) == Counter(EXAMPLES)


def test_no_wording_is_on_both_sides():
    train = {meaning_key(example.instruction) for example in SPLIT.train}
    assert [e.instruction for e in SPLIT.val if meaning_key(e.instruction) in train] == []


def test_no_variation_of_a_held_out_question_is_trained_on():
    assert {e.stem for e in SPLIT.train} & {e.stem for e in SPLIT.val} == set()


def test_no_held_out_question_is_a_trained_one_with_other_punctuation():
    train = {" ".join(plain_words(example.instruction)) for example in SPLIT.train}
    assert [e.instruction for e in SPLIT.val if " ".join(plain_words(e.instruction)) in train] == []


def test_every_fact_is_on_both_sides():
    assert {e.fact for e in SPLIT.train} == {e.fact for e in SPLIT.val} == {e.fact for e in EXAMPLES}


def test_a_fact_with_one_wording_is_trained_and_not_held_out():
    only = build_examples(facts=[fact("a", "an answer", "What is X?")])
    split = split_examples(only, 0.5)
    assert len(split.train) == len(only)


@pytest.mark.parametrize("share", [-0.1, 1.0, 7])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(ValueError, match="val_split"):
        split_examples(EXAMPLES, share)


def test_files_hold_instruction_input_and_output(tmp_path):
    write_rows([example.as_dict() for example in EXAMPLES[:3]], tmp_path / "a.json")
    write_rows([example.as_dict() for example in EXAMPLES[:3]], tmp_path / "a.jsonl")
    rows = json.loads((tmp_path / "a.json").read_text("utf-8"))
    lines = (tmp_path / "a.jsonl").read_text("utf-8").splitlines()
    assert rows == [json.loads(line) for line in lines]
    assert list(rows[0])[:3] == ["instruction", "input", "output"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.jsonl"]
