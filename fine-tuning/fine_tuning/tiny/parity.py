"""Does the exported model equal the trained one? Tokens, logits and greedy answers compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fine_tuning.evaluation.answerers import FolderAnswerer, GgufAnswerer
from fine_tuning.tiny.chat_format import prompt

F32_LOGIT_MARGIN = 0.01
"""Largest difference of a logit between transformers and the f32 GGUF: two float32
implementations that add in another order (measured: below 0.001)."""
Q8_LOGIT_MARGIN = 0.6
"""The same for q8_0, whose weights are rounded to a 127th of their block's largest."""
Q8_AGREEMENT = 0.95
"""Share of greedy answers that must be the same, letter by letter, after q8_0."""

UNICODE_SAMPLES = (
    "",
    " ",
    "\n\n  two blanks\tand a tab \n",
    "Grüße aus Köln, Æthelred! ¿Qué tal?",
    "日本語のテキスト、中文文本。한국어 텍스트",
    "مرحبا بالعالم  שלום",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🤷🏽‍♀️ e\u0301 n\u0303",
    "don't we'll I'D they've 'quoted' it’s",
    "x = {'a': [1, 22, 333]}; // 4,096 ½ ² Ⅻ ٣",
    "\u00a0no\u2009break\u3000wide\u200bzero\ufeff",
    "tabs\t\tand\r\nline ends\n\n\n\nmany   ",
    '<document name="SESSION_LOG.md">\n## 2026-10-04\n- a\n</document>',
    "\x00\x07\x1b[0m control",
    "a" * 300,
    "[Friday, 2026-10-02 14:03 UTC+02:00]",
)
"""Texts on which tokenizers are known to disagree."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How two models compare.

    Args:
        prompts: how many were compared.
        largest_logit_difference: at the last prompt token, over the whole vocabulary.
        same_answers: share of greedy answers that are identical.
    """

    prompts: int
    largest_logit_difference: float
    same_answers: float

    @property
    def is_exact(self) -> bool:
        """As near as an unquantised export must be."""
        return self.largest_logit_difference <= F32_LOGIT_MARGIN and self.same_answers == 1.0

    @property
    def is_close(self) -> bool:
        """As near as q8_0 must be."""
        return self.largest_logit_difference <= Q8_LOGIT_MARGIN and self.same_answers >= Q8_AGREEMENT


def compare(
    reference: FolderAnswerer | GgufAnswerer, other: GgufAnswerer, questions: Sequence[str]
) -> Parity:
    """Greedy answers and next-token logits of `other` against `reference`."""
    largest, same = 0.0, 0
    for question in questions:
        text = prompt(question)
        difference = np.abs(_logits(reference, text) - _logits(other, text))
        largest = max(largest, float(difference.max()))
        same += reference.answer(question) == other.answer(question)
    return Parity(len(questions), largest, same / len(questions) if questions else 1.0)


def token_differences(tokenizer: Any, model: GgufAnswerer, texts: Iterable[str]) -> list[str]:
    """Texts that llama.cpp cuts into other tokens than our tokenizer; control tokens honoured."""
    return [
        text
        for text in texts
        if model.llm.tokenize(text.encode(), add_bos=False, special=True)
        != list(tokenizer.encode(text, add_special_tokens=False).ids)
    ]


def _logits(model: FolderAnswerer | GgufAnswerer, text: str) -> Any:
    if isinstance(model, FolderAnswerer):
        return _folder_logits(model, text)
    import llama_cpp

    llm = model.llm
    llm.reset()
    llm.eval(llm.tokenize(text.encode(), add_bos=False, special=True))
    return np.array(llama_cpp.llama_get_logits(llm.ctx)[: llm.n_vocab()])


def _folder_logits(model: FolderAnswerer, text: str) -> Any:
    import torch

    ids = model.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model.model(ids).logits[0, -1].numpy()
