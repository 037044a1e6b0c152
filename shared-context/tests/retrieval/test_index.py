from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_context.retrieval.index import PassageIndex
from shared_context.retrieval.passages import Passage
from shared_context.retrieval.question import Question


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PassageIndex]:
    index = PassageIndex(tmp_path / "search.db")
    yield index
    index.close()


def said(number: int, text: str, *, speaker: str = "user", thread: str = "monday") -> Passage:
    return Passage("message", f"m{number}", 0, thread, speaker, f"2026-01-01T00:00:{number:02}Z", text)


def found(index: PassageIndex, text: str, **more: object) -> list[str]:
    return [passage.item for passage, _ in index.find(Question(text, **more), 10)]  # type: ignore[arg-type]


def test_an_answer_without_the_words_is_found_through_the_question_before_it(index: PassageIndex) -> None:
    index.change([said(1, "When is the dentist?"), said(2, "On Friday at nine."), said(3, "Fine.")], [], {})
    index.change([said(n, f"Filler about topic {n}.", thread="other") for n in range(4, 20)], [], {})
    assert "m2" in found(index, "When do I see the dentist?")[:2]


def test_other_forms_of_a_word_are_found(index: PassageIndex) -> None:
    index.change([said(1, "She sold her painted bicycles."), said(2, "Nothing to see.")], [], {})
    assert found(index, "painting")[0] == "m1"
    assert found(index, "Who sells a bicycle?")[0] == "m1"


def test_the_speaker_asked_about_comes_first(index: PassageIndex) -> None:
    index.change(
        [said(1, "The red paint.", speaker="anna", thread="a"), said(2, "The red paint!", speaker="ben", thread="b")],
        [],
        {},
    )  # fmt: skip
    people = {"anna": "anna", "ben": "ben"}
    assert found(index, "What did Anna say about red paint?", speakers=people)[0] == "m1"
    assert found(index, "What did Ben say about red paint?", speakers=people)[0] == "m2"


def test_the_month_asked_about_comes_first(index: PassageIndex) -> None:
    rows = [
        Passage("message", month, 0, month, "user", f"2025-{month}-03T08:00:00Z", f"The race was {how}.")
        for month, how in (("03", "wet"), ("05", "long"), ("09", "cold"))
    ]
    index.change(rows, [], {})
    assert found(index, "How was the race in May?")[0] == "05"


def test_copies_of_one_text_are_shown_once(index: PassageIndex) -> None:
    index.change([said(n, "The  boiler broke." if n else "the boiler broke.") for n in range(5)], [], {})
    assert len(found(index, "boiler")) == 1


def test_the_newer_of_two_equals_comes_first(index: PassageIndex) -> None:
    index.change(
        [said(1, "Boiler fixed, one.", thread="a"), said(2, "Boiler fixed, two.", thread="b")], [], {}
    )
    assert found(index, "boiler fixed") == ["m2", "m1"]


def test_what_is_removed_is_not_found_and_not_a_neighbour(index: PassageIndex) -> None:
    index.change([said(1, "The key is hidden."), said(2, "Under the blue pot."), said(3, "Ah.")], [], {})
    index.change([], [("message", "m2")], {})
    assert found(index, "blue pot") == []
    assert found(index, "hidden key")[:2] == ["m1", "m3"]


def test_an_item_is_taken_in_once(index: PassageIndex) -> None:
    index.change([said(1, "The key.")], [], {})
    index.change([said(1, "The key.")], [], {})
    assert found(index, "key") == ["m1"]


def test_late_arrivals_stand_where_their_time_puts_them(index: PassageIndex) -> None:
    index.change([said(1, "Where is the ladder?"), said(9, "Good night.")], [], {})
    index.change([said(2, "Behind the shed.")], [], {})
    ranked = found(index, "ladder")
    assert ranked.index("m2") < ranked.index("m9")


def test_marks_are_kept_with_the_passages(tmp_path: Path) -> None:
    index = PassageIndex(tmp_path / "search.db")
    index.change([said(1, "The key.")], [], {"messages": "1"})
    index.close()
    again = PassageIndex(tmp_path / "search.db")
    assert again.marks() == {"messages": "1"}
    assert found(again, "key") == ["m1"]
    again.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(max_size=80))
def test_nothing_in_a_question_is_syntax(index: PassageIndex, text: str) -> None:
    index.change([said(1, 'AND OR NOT NEAR("a" b) * : ^ {x}')], [], {})
    index.find(Question(text, [text]), 5)
