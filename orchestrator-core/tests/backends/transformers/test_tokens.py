"""Text to tokens and back, with the tokenizers of models."""

from typing import TYPE_CHECKING

import pytest
from orchestrator_core.backend import Prompt
from orchestrator_core.backends.transformers import TransformersBackend
from orchestrator_core.generation import GenerationConfig
from support.tiny_hf import TEMPLATE, save_sentencepiece_tokenizer
from support.tiny_hf_backend import ASK

if TYPE_CHECKING:
    from orchestrator_core.backends.transformers_model import Tokens

pytestmark = pytest.mark.slow


def test_bos_is_there_exactly_once(backend: TransformersBackend) -> None:
    assert backend.count_prompt(Prompt.raw("<s>[INST] a [/INST]")) == backend.count_prompt(
        Prompt.raw("[INST] a [/INST]")
    )
    assert backend.count_tokens("<s>") == 1
    assert backend.special_tokens().adds_bos


def test_a_cut_control_token_is_text(backend: TransformersBackend) -> None:
    whole, cut = Prompt(("say </s> now",)), Prompt(("say <", "/s> now"))
    assert backend.count_prompt(cut) > backend.count_prompt(whole)


def test_special_tokens_and_template_come_from_the_tokenizer(backend: TransformersBackend) -> None:
    special = backend.special_tokens()
    assert (special.bos, special.eos) == ("<s>", "</s>")
    assert {"<s>", "</s>", "[INST]", "[/INST]"} <= special.control
    assert backend.chat_template() == TEMPLATE


def test_random_bytes_of_a_random_model_are_whole_characters(backend: TransformersBackend) -> None:
    for seed in range(3):
        config = GenerationConfig(
            seed=seed, temperature=5, top_k=0, top_p=1, max_new_tokens=60, repetition_penalty=1
        )
        generation = backend.generate(ASK, config)
        tokens = list(generation)
        assert all(token.text for token in tokens)
        "".join(token.text for token in tokens).encode()  # surrogates would fail
        assert sum(token.count for token in tokens) <= generation.usage.completion_tokens


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> "Tokens":
    from orchestrator_core.backends.transformers_model import Tokens

    return Tokens(str(save_sentencepiece_tokenizer(tmp_path_factory.mktemp("spm"))))


def test_a_tokenizer_that_prepends_spaces_does_so_once_only(sentencepiece: "Tokens") -> None:
    """Mistral 7B's: pieces of one prompt would otherwise grow spaces between them."""
    whole = sentencepiece.prompt(("say hello",))
    assert sentencepiece.prompt(("say he", "llo")) == whole
    assert sentencepiece.decode(whole) == "say hello"
    assert sentencepiece.decode(sentencepiece.prompt(("a", " b", "", "c"))) == "a bc"
    assert sentencepiece.continued("") == []


@pytest.mark.parametrize("text", ["hello you", "漢字 and 🦜🦜", "a  b\n\n c", "🦜", "x" * 40])
def test_text_shown_token_by_token_is_the_text(
    sentencepiece: "Tokens", backend: TransformersBackend, text: str
) -> None:
    from orchestrator_core.backends.transformers_model import TokenText

    for tokens in (sentencepiece, backend._model().tokens):
        before = tokens.prompt(("question",))
        shown = TokenText(tokens, before)
        pieces = [shown.push(token) for token in tokens.continued(" " + text)]
        assert "".join(pieces) == " " + text
        assert shown.flush(cut_off=False) == ""
        assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize(("cut_off", "rest"), [(True, ""), (False, "\ufffd")])
def test_half_a_character_at_the_end(sentencepiece: "Tokens", cut_off: bool, rest: str) -> None:
    from orchestrator_core.backends.transformers_model import TokenText

    shown = TokenText(sentencepiece, sentencepiece.prompt(("q",)))
    first_bytes = sentencepiece.continued("🦜")[:2]
    assert [shown.push(token) for token in first_bytes] == ["", ""]
    assert shown.flush(cut_off=cut_off).replace("\ufffd\ufffd", "\ufffd") == rest
