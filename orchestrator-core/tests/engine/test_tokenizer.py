"""Tokenising in pieces, with Mistral's published vocabulary and with a byte-level one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gguf_scripted import scripted_model
from orchestrator_core.engine.tokenizer import Tokenizer
from support.mistral_vocabulary import opened_tokenizer, write_vocabulary

SPACED = "tokenizer.model.v1"


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokenizer]:
    path = tmp_path_factory.mktemp("vocabulary") / "mistral.gguf"
    with opened_tokenizer(write_vocabulary(SPACED, path, add_space_prefix=True)) as tokenizer:
        yield tokenizer


@pytest.fixture(scope="module")
def unspaced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokenizer]:
    path = tmp_path_factory.mktemp("vocabulary") / "unspaced.gguf"
    with opened_tokenizer(write_vocabulary(SPACED, path, add_space_prefix=False)) as tokenizer:
        yield tokenizer


@pytest.fixture(scope="module")
def bytewise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokenizer]:
    path = scripted_model(tmp_path_factory.mktemp("vocabulary") / "bytes.gguf", "hello")
    with opened_tokenizer(path) as tokenizer:
        yield tokenizer


@pytest.fixture(params=["mistral", "unspaced", "bytewise"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    found: Tokenizer = request.getfixturevalue(request.param)
    return found


def text(tokenizer: Tokenizer, tokens: list[int]) -> str:
    return b"".join(map(tokenizer.piece, tokens)).decode()


def test_one_bos_stands_in_front_whether_the_prompt_spells_it_or_not(tokenizer: Tokenizer) -> None:
    for pieces in (["hello"], ["<s>hello"], ["<s>", "hello"], []):
        tokens = tokenizer.prompt(pieces)
        assert tokens[0] == tokenizer.bos
        assert tokenizer.bos not in tokens[1:]


def test_pieces_say_what_the_whole_text_says(tokenizer: Tokenizer) -> None:
    whole = "Tell me </s> about 日本語 and 😀."
    cut = ["Tell me </", "s> about 日本", "語 and 😀", "."]
    assert text(tokenizer, tokenizer.prompt(cut)).strip() == whole
    assert tokenizer.eos not in tokenizer.prompt(cut)
    assert tokenizer.eos in tokenizer.prompt([whole])


def test_a_piece_in_the_middle_gets_no_space_of_its_own(mistral: Tokenizer) -> None:
    assert text(mistral, mistral.beginning("world")) == " world"
    assert text(mistral, mistral.middle("world")) == "world"
    assert text(mistral, mistral.middle(" world")) == " world"
    assert text(mistral, mistral.prompt(["hello ", "world"])) == " hello world"


def test_a_piece_after_a_control_token_is_tokenised_as_if_not_cut_off(mistral: Tokenizer) -> None:
    assert mistral.prompt(["<s>[INST] hi [/INST] yes</s>", "[INST] more"]) == mistral.prompt(
        ["<s>[INST] hi [/INST] yes</s>[INST] more"]
    )


@pytest.mark.parametrize("cut", range(0, 46, 3))
def test_an_answer_continues_where_it_stopped(tokenizer: Tokenizer, cut: int) -> None:
    answer = " The tide (潮汐) comes and goes 😀; nobody asks."
    prompt = tokenizer.prompt(["[INST] hi [/INST]"])
    continued = tokenizer.prompt(["[INST] hi [/INST]"], answer[:cut])
    assert continued[: len(prompt)] == prompt
    assert text(tokenizer, continued[len(prompt) :]) == answer[:cut]


def test_text_of_an_answer_never_becomes_a_control_token(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.prompt(["hi"], "the token </s> ends a sequence")
    assert tokenizer.eos not in tokens


def test_a_seam_between_words_gives_the_tokens_the_model_would_have_chosen(mistral: Tokenizer) -> None:
    whole = mistral.middle(" The quick brown fox")
    for cut in range(1, len(whole)):
        shown = text(mistral, whole[:cut])
        assert mistral.middle(shown) == whole[:cut]


def test_control_tokens_show_no_text_but_are_listed(tokenizer: Tokenizer) -> None:
    assert tokenizer.piece(tokenizer.eos) == b""
    special = tokenizer.special()
    assert (special.bos, special.eos, special.adds_bos) == ("<s>", "</s>", True)
    assert {"<s>", "</s>"} <= special.control
    assert tokenizer.is_end(tokenizer.eos)
    assert tokenizer.eos in tokenizer.ends()


def test_every_byte_string_survives(tokenizer: Tokenizer) -> None:
    awkward = "\x00\t\n\r  \u2581 ▁▁ é \U0001f468\u200d\U0001f469\u200d\U0001f467 \ufffd end  "
    assert text(tokenizer, tokenizer.middle(awkward)).replace("▁", " ") == awkward.replace("▁", " ")
