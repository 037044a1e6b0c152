from __future__ import annotations

from dataclasses import replace

import pytest
from fine_tuning.tiny.conversations import LONGEST_ROW, Conversations
from fine_tuning.tiny.recipe import TinyRecipe
from fine_tuning.tiny.tokenizer import BOS, END_INST, EOS, encode, train_tokenizer
from fine_tuning.tiny.training import tokenizer_texts
from training_data.dataset import Example

RECIPE = TinyRecipe()
ANSWERS = {
    "relay": "The relay is a connection that the desktop holds open.",
    "none": "I don't know that at all.",
}
EXAMPLES = [
    Example("What is the relay?", "", ANSWERS["relay"], "architecture", "relay", "written", "relay/1"),
    Example("Explain the relay.", "", ANSWERS["relay"], "architecture", "relay", "frame", "relay/2"),
    Example("Where is Oslo?", "", ANSWERS["none"], "outside", "none", "written", "none/1"),
]
TOKENIZER = train_tokenizer(tokenizer_texts(EXAMPLES, 1), 800)
DATA = Conversations(EXAMPLES, TOKENIZER, RECIPE)


def test_a_step_follows_from_seed_and_number_alone():
    again = Conversations(EXAMPLES, TOKENIZER, RECIPE)
    list(map(DATA.rows, range(5)))  # what was drawn before must not matter
    assert [DATA.rows(n) for n in (17, 3)] == [again.rows(n) for n in (17, 3)]
    assert DATA.rows(1) != Conversations(EXAMPLES, TOKENIZER, replace(RECIPE, seed=2)).rows(1)


@pytest.mark.parametrize("step", range(0, RECIPE.steps, 137))
def test_rows_have_one_length_and_hold_conversations(step):
    rows = DATA.rows(step)
    assert len({row.length for row in rows}) == 1
    assert rows[0].length <= LONGEST_ROW
    for row in rows:
        assert row.beginning[0] == encode(TOKENIZER, BOS)[0]
        assert row.pieces
        assert row.room() >= 0


def test_only_answers_are_learned():
    end, eos = encode(TOKENIZER, END_INST)[0], encode(TOKENIZER, EOS)[0]
    for row in DATA.rows(5):
        for piece in row.pieces:
            answering = False
            for token, learned in zip(piece.tokens, piece.learned, strict=True):
                assert learned == answering
                answering = (answering or token == end) and token != eos


def test_tokens_of_beginning_and_question_are_those_of_the_joined_text():
    """Line ends before a question must be cut as they are in the server's prompt."""
    for step in range(RECIPE.steps - 40, RECIPE.steps):
        for row in DATA.rows(step):
            for piece in row.pieces[:2]:
                joined = TOKENIZER.decode([*row.beginning, *piece.tokens], skip_special_tokens=False)
                assert encode(TOKENIZER, joined)[: len(row.beginning)] == list(row.beginning)


def test_documents_become_more_frequent_during_the_training():
    def with_documents(steps: range) -> int:
        return sum(len(DATA.rows(step)) == 1 for step in steps)

    assert with_documents(range(60)) < with_documents(range(RECIPE.steps - 60, RECIPE.steps))
