from __future__ import annotations

from random import Random

import pytest
from training_data.associations import FEWEST, MOST, Associations
from training_data.dataset import build_examples, split_examples
from training_data.wording import plain_words

SPLIT = split_examples(build_examples())
ASSOCIATIONS = Associations(SPLIT.train)


def test_questions_follow_from_the_seed():
    assert ASSOCIATIONS.question("relay", Random(4)) == ASSOCIATIONS.question("relay", Random(4))


@pytest.mark.parametrize("fact", ["relay", "ports", "thanks", "oom"])
def test_questions_are_made_of_a_few_words_of_the_facts_training_examples(fact):
    examples = [e for e in SPLIT.train if e.fact == fact]
    known = {word for e in examples for word in plain_words(f"{e.instruction} {e.output}")}
    frames = set(
        plain_words("What about tell me about how does work explain help with where is what do I can I")
    )
    for seed in range(50):
        words = plain_words(ASSOCIATIONS.question(fact, Random(seed)))
        assert set(words) <= known | frames
        assert FEWEST <= len([w for w in words if w in known]) <= MOST + len(frames)


def test_words_shared_by_many_facts_are_drawn_seldom():
    drawn = [
        word for seed in range(400) for word in plain_words(ASSOCIATIONS.question("relay", Random(seed)))
    ]
    assert drawn.count("relay") > 3 * drawn.count("desktop")


def test_a_word_that_only_a_held_out_question_has_is_never_drawn():
    def vocabulary(examples) -> set[str]:
        return {word for e in examples for word in plain_words(f"{e.instruction} {e.output}")}

    secret = vocabulary(SPLIT.val) - vocabulary(SPLIT.train)
    facts = {e.fact for e in SPLIT.train}
    drawn = {
        word
        for fact in facts
        for seed in range(5)
        for word in plain_words(ASSOCIATIONS.question(fact, Random(seed)))
    }
    assert secret
    assert not drawn & secret


def test_a_fact_of_varied_wordings_only_is_known_by_its_answer():
    varied = [e for e in SPLIT.val if e.wording == "varied"]
    only = Associations(varied)
    for example in varied:
        assert plain_words(only.question(example.fact, Random(1)))
