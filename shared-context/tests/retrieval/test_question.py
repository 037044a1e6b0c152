from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_context.retrieval.question import EARLIER_WEIGHT, MAX_TERMS, Question, Wanted, read
from shared_context.retrieval.segments import pairs_in

PEOPLE = {"i": "user", "you": "assistant"}


def words(wanted: Wanted) -> set[str]:
    return {term.word for term in wanted.terms}


def test_question_words_are_not_looked_up() -> None:
    assert words(read(Question("What did you say about the boiler?"))) == {"boiler"}


def test_a_question_of_nothing_but_question_words_is_looked_up_with_them() -> None:
    assert words(read(Question("What was that about?"))) == {"what", "was", "that", "about"}


def test_quoted_words_and_names_weigh_more_than_others() -> None:
    weights = {term.word: term.weight for term in read(Question('Did Anna paint the "old gearbox"?')).terms}
    assert weights["gearbox"] > weights["anna"] > weights["paint"]


def test_what_was_said_before_helps_less_the_longer_ago_it_is() -> None:
    wanted = read(Question("And the price?", earlier=["We spoke of mixers.", "The gearbox howls."]))
    weights = {term.word: term.weight for term in wanted.terms}
    assert weights["price"] == 1.0
    assert weights["gearbox"] == EARLIER_WEIGHT > weights["mixers"] > 0


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When did we move?", "time"),
        ("On which day does it open?", "time"),
        ("How many jars were sold?", "number"),
        ("Who helped?", "person"),
        ("Where is the key?", "place"),
        ("In which city do you live?", "place"),
        ("Why is the key here?", ""),
    ],
)
def test_the_kind_of_answer_is_read_from_the_question(question: str, kind: str) -> None:
    assert read(Question(question)).kind == kind


def test_one_speaker_asked_about_is_preferred_and_two_are_not() -> None:
    assert read(Question("What did you propose?", speakers=PEOPLE)).speakers == {"assistant"}
    assert read(Question("What did I say when you asked?", speakers=PEOPLE)).speakers == frozenset()


@given(st.text(), st.lists(st.text(), max_size=3), st.text(max_size=12))
def test_any_text_is_a_question(text: str, earlier: list[str], at: str) -> None:
    assert len(read(Question(text, earlier, at, PEOPLE)).terms) <= MAX_TERMS


def test_words_of_the_turns_before_are_marked() -> None:
    terms = read(Question("What does it hold?", ["Do you remember the walnut box?"])).terms
    assert {term.word: term.own for term in terms} == {
        "hold": True,
        "remember": False,
        "walnut": False,
        "box": False,
    }


@pytest.mark.parametrize(
    ("question", "content"),
    [
        ("Wo habe ich die Leiter abgestellt?", {"leiter", "abgestellt"}),
        ("¿Dónde está la escalera?", {"escalera"}),
        ("Is the die cast?", {"die", "cast"}),
    ],
)
def test_empty_words_are_those_of_the_language_of_the_question(question: str, content: set[str]) -> None:
    assert words(read(Question(question))) == content


def test_what_is_written_without_spaces_is_looked_up_in_pairs() -> None:
    assert set(pairs_in("梯子在哪里")) >= words(read(Question("梯子在哪里？"))) >= set(pairs_in("梯子"))
