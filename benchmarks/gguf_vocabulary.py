"""Vocabularies for generated models: byte-level BPE ones of our own, and Mistral's published ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import gguf

NORMAL = int(gguf.TokenType.NORMAL)
CONTROL = int(gguf.TokenType.CONTROL)

CONTROL_TOKENS = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
UNK, BOS, EOS = 0, 1, 2
FIRST_BYTE = len(CONTROL_TOKENS)

_LETTERS = " etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ0123456789.,-"

MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
    "{% endfor %}"
)
"""The first Mistral-Instruct template: no system role, as the real one."""


def byte_symbols() -> list[str]:
    """GPT-2's printable stand-in for each of the 256 bytes, by byte value."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols, extra = {}, 0
    for byte in range(256):
        if byte in plain:
            symbols[byte] = chr(byte)
        else:
            symbols[byte] = chr(256 + extra)
            extra += 1
    return [symbols[byte] for byte in range(256)]


@dataclass(slots=True)
class Vocabulary:
    """Tokens by id, as GGUF metadata wants them: controls, then the bytes, then merged tokens."""

    tokens: list[str]
    types: list[int]
    merges: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """Control tokens where the text spells them, else bytes."""
        controls = {name: number for number, name in enumerate(self.tokens) if self.types[number] == CONTROL}
        parts = re.split("(" + "|".join(map(re.escape, sorted(controls, key=len, reverse=True))) + ")", text)
        ids = []
        for part in parts:
            ids += (
                [controls[part]] if part in controls else [FIRST_BYTE + byte for byte in part.encode("utf-8")]
            )
        return ids

    def write(self, writer: gguf.GGUFWriter, *, template: str | None, add_bos: bool) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        writer.add_token_merges(self.merges)
        writer.add_unk_token_id(UNK)
        writer.add_bos_token_id(BOS)
        writer.add_eos_token_id(EOS)
        writer.add_add_bos_token(add_bos)
        if template is not None:
            writer.add_chat_template(template)


def byte_vocabulary(control: Sequence[str] = ()) -> Vocabulary:
    """Controls and 256 bytes. One merge that text never uses: llama.cpp insists on a list.

    Args:
        control: more control tokens, which come last.
    """
    symbols = byte_symbols()
    merged = symbols[0] + symbols[1]
    return Vocabulary(
        tokens=[*CONTROL_TOKENS, *symbols, merged, *control],
        types=[CONTROL] * len(CONTROL_TOKENS) + [NORMAL] * 257 + [CONTROL] * len(control),
        merges=[f"{symbols[0]} {symbols[1]}"],
    )


def merged_vocabulary(size: int) -> Vocabulary:
    """A vocabulary of `size` tokens: the bytes, then pairs and longer runs of common letters.

    Raises:
        ValueError: smaller than the bytes and controls, or larger than the letters give.
    """
    vocabulary = byte_vocabulary()
    if size < len(vocabulary):
        raise ValueError(f"A vocabulary needs at least {len(vocabulary)} tokens, not {size}.")
    symbols = byte_symbols()
    letters = [symbols[ord(letter)] for letter in _LETTERS]
    parts = letters
    while len(vocabulary) < size:
        grown = []
        for left, right in product(parts, letters):
            if len(vocabulary) == size:
                break
            vocabulary.tokens.append(left + right)
            vocabulary.types.append(NORMAL)
            vocabulary.merges.append(f"{left} {right}")
            grown.append(left + right)
        parts = grown
    return vocabulary


@dataclass(frozen=True, slots=True)
class SentencePieceVocabulary:
    """A SentencePiece model's tokens, with what GGUF metadata says of them.

    Args:
        source: one of the files that mistral-common brings, by name.
    """

    source: str = "mistral_instruct_tokenizer_240323.model.v3"

    def __len__(self) -> int:
        return int(self._model().vocab_size())

    def write(
        self,
        writer: gguf.GGUFWriter,
        *,
        template: str | None,
        add_bos: bool,
        add_space_prefix: bool = True,
    ) -> None:
        """
        Args:
            add_space_prefix: published conversions differ in this; llama.cpp's default is true.
        """
        model = self._model()
        ids = range(model.vocab_size())
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([model.id_to_piece(token).encode() for token in ids])
        writer.add_token_scores([model.get_score(token) for token in ids])
        writer.add_token_types([_kind(model, token) for token in ids])
        writer.add_bos_token_id(model.bos_id())
        writer.add_eos_token_id(model.eos_id())
        writer.add_unk_token_id(model.unk_id())
        writer.add_add_bos_token(add_bos)
        writer.add_add_space_prefix(add_space_prefix)
        if template is not None:
            writer.add_chat_template(template)

    def _model(self) -> Any:
        import mistral_common
        from sentencepiece import SentencePieceProcessor

        file = Path(mistral_common.__file__).parent / "data" / self.source
        return SentencePieceProcessor(model_file=str(file))


def _kind(model: Any, token: int) -> gguf.TokenType:
    if model.is_unknown(token):
        return gguf.TokenType.UNKNOWN
    if model.is_control(token):
        return gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if model.is_byte(token) else gguf.TokenType.NORMAL
