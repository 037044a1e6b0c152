"""Byte-level BPE vocabularies for generated models: every byte string can be written with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

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


def byte_vocabulary() -> Vocabulary:
    """Controls and 256 bytes. One merge that text never uses: llama.cpp insists on a list."""
    symbols = byte_symbols()
    merged = symbols[0] + symbols[1]
    return Vocabulary(
        tokens=[*CONTROL_TOKENS, *symbols, merged],
        types=[CONTROL] * len(CONTROL_TOKENS) + [NORMAL] * 257,
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
