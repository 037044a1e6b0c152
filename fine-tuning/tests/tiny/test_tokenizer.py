from __future__ import annotations

import pytest
from fine_tuning.tiny.tokenizer import CONTROL_TOKENS, encode, token_id, train_tokenizer
from hypothesis import given
from hypothesis import strategies as st

TOKENIZER = train_tokenizer(["What is the relay? The relay is a connection."] * 3, 320)


@given(st.text(max_size=60))
def test_any_text_comes_back_from_its_tokens(text):
    ids = encode(TOKENIZER, text)
    if not any(token in text for token in CONTROL_TOKENS):
        assert TOKENIZER.decode(ids, skip_special_tokens=False) == text


def test_control_tokens_have_the_first_ids_and_are_found_in_text():
    ids = [token_id(TOKENIZER, token) for token in CONTROL_TOKENS]
    assert ids == list(range(len(CONTROL_TOKENS)))
    assert encode(TOKENIZER, "<s>[INST]")[:2] == [1, 3]


def test_an_unknown_control_token_is_an_error():
    with pytest.raises(ValueError, match="no token '<absent>'"):
        token_id(TOKENIZER, "<absent>")


def test_the_same_texts_give_the_same_tokenizer():
    texts = ["one two three two three", "three two one"] * 2
    assert train_tokenizer(texts, 300).to_str() == train_tokenizer(texts, 300).to_str()
