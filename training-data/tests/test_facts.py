from __future__ import annotations

import pytest
from training_data.errors import FactError
from training_data.facts import OUTSIDE, TOPICS, _fact, load_facts

FACTS = load_facts()


def test_every_topic_of_the_specification_has_facts():
    topics = {fact.topic for fact in FACTS}
    assert topics == {*TOPICS, OUTSIDE}
    assert {"continuity", "handoff", "architecture", "practice"} <= topics


def test_every_project_fact_can_be_asked_in_at_least_eight_ways():
    poor = {
        fact.fact_id: len(fact.questions)
        for fact in FACTS
        if fact.topic != OUTSIDE and len({q.text.casefold() for q in fact.questions}) < 8
    }
    assert poor == {}


def test_no_two_facts_have_the_same_answer():
    answers = [fact.answer for fact in FACTS]
    assert len(set(answers)) == len(answers)


def test_slots_are_all_filled():
    assert not [q.text for fact in FACTS for q in fact.questions if "{" in q.text]
    filled = [q for fact in FACTS for q in fact.questions if q.text != q.stem]
    assert len(filled) > 100


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"id": "x", "answer": "too short", "ask": ["a"]}, "2 words"),
        ({"id": "x", "answer": "one two three four five six seven eight", "ask": "a"}, "list of texts"),
        ({"id": "x", "answer": "one two three four five six seven eight", "ask": [""]}, "list of texts"),
        (
            {"id": "x", "answer": "one two three four five six seven eight", "ask": ["a"], "tersm": []},
            "tersm",
        ),
    ],
)
def test_a_mistake_in_a_fact_file_names_file_and_fact(entry, complaint):
    with pytest.raises(FactError, match=r"handoff\.yaml: 'x'") as raised:
        _fact("handoff", entry)
    assert complaint in str(raised.value)
