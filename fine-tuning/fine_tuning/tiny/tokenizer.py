"""The built-in model's byte-level BPE tokenizer, trained on its own texts.

Words are cut before merging by GPT-2's expression, the one llama.cpp knows as `gpt-2`, and
every byte has a token, so any text can be written. Control tokens are matched before that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNK, BOS, EOS, PAD = "<unk>", "<s>", "</s>", "<pad>"
INST, END_INST = "[INST]", "[/INST]"
CONTROL_TOKENS = (UNK, BOS, EOS, INST, END_INST, PAD)
"""In id order; the first three have the ids they have in Mistral's models."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A tokenizer of at most `vocab_size` entries; the same for the same texts in the same order."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in CONTROL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Id of a token that must exist."""
    token_number = tokenizer.token_to_id(token)
    if token_number is None:
        raise ValueError(f"The tokenizer has no token {token!r}.")
    return int(token_number)


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids; control tokens in the text are honoured, none is added."""
    return list(tokenizer.encode(text, add_special_tokens=False).ids)
