from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_data.wording import VARIATIONS, keywords, meaning_key, mistyped, plain_words, vary

questions = st.text(min_size=1, max_size=80)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the default port?", "what's the default port"),
        ("What is a seam?", "Please tell me: what is the seam?"),
        ("Which port does the desktop use?", "The desktop does use which port"),
        ("Do I need a GPU?", "I want to know, do I need a GPU? Thanks!"),
    ],
)
def test_case_politeness_and_order_do_not_change_the_meaning_key(one, other):
    assert meaning_key(one) == meaning_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is top_k?", "What is top_p?"),
        ("What is GET /health for?", "What is GET /ready for?"),
        ("What is 12 + 4?", "What is 12 * 4?"),
        ("PROJECT_CONTEXT.md", "PORTFOLIO_CONTEXT.md"),
    ],
)
def test_what_distinguishes_questions_stays_in_the_meaning_key(one, other):
    assert meaning_key(one) != meaning_key(other)


def test_a_question_of_fillers_keeps_them():
    assert meaning_key("What would you say?") == frozenset({"what", "would", "you", "say"})


@given(questions, st.integers())
def test_variations_depend_on_the_seed_only(text, seed):
    assert vary(text, Random(seed)) == vary(text, Random(seed))


@given(questions, st.integers())
def test_variations_never_fail_on_any_text(text, seed):
    for variation in VARIATIONS:
        assert isinstance(variation(text, Random(seed)), str)


def test_keywords_keep_what_carries_meaning():
    words = plain_words(keywords("What is the default port of the server?", Random(1)))
    assert words == ["default", "port", "server"]


@given(st.integers())
def test_a_typing_error_changes_long_words_only(seed):
    before, after = "Where is the configuration", mistyped("Where is the configuration", Random(seed))
    changed = [a for a, b in zip(before.split(), after.split(), strict=True) if a != b]
    assert all(len(word) >= 5 for word in changed)
