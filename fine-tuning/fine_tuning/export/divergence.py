"""Does an exported model say what the trained one says? Kullback-Leibler divergence and top tokens, token by token.

Every model renders held-out dialogues by its own chat template and cuts them by its own tokenizer, since
that is what a server will do with it; a model that reads other tokens has failed before any number. Over
the answers' tokens the distributions are compared as `llama-perplexity --kl-divergence` does
(github.com/ggml-org/llama.cpp, tools/perplexity), in this process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from training_data.records import Record

from fine_tuning.evaluation.answerers import template_renderer
from fine_tuning.training.base_model import PLAIN_TEMPLATE


@dataclass(frozen=True, slots=True)
class Margin:
    """What a step of the export may change.

    Args:
        kl: mean divergence in nats, at most.
        same_top: share of tokens whose likeliest successor is the same, at least.
    """

    kl: float
    same_top: float


EXACT = Margin(0.002, 0.98)
"""f16: llama.cpp's own figures have 0.0006 for it. Also for an adapter beside an unquantised base."""
QUANTISED = {
    "Q8_0": Margin(0.01, 0.95),
    "Q5_K_M": Margin(0.03, 0.92),
    "Q4_K_M": Margin(0.05, 0.90),
    "Q4_0": Margin(0.15, 0.85),
    "Q3_K_M": Margin(0.2, 0.80),
}
"""Per quantisation, from the figures llama.cpp publishes for 7B and 8B models."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """How one model differs from the reference.

    Args:
        tokens: compared.
        kl: mean of KL(reference || model) in nats.
        same_top: share of equal likeliest tokens, 0 to 1.
        misread: dialogues that the model's template or tokenizer turns into other tokens.
    """

    tokens: int
    kl: float
    same_top: float
    misread: int

    def within(self, margin: Margin) -> bool:
        return (
            self.tokens > 0 and not self.misread and self.kl <= margin.kl and self.same_top >= margin.same_top
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """A dialogue as one model reads it: all its tokens, and where the answer begins."""

    tokens: tuple[int, ...]
    answer: int


class Scorer(ABC):
    """A model whose predictions can be looked at."""

    @abstractmethod
    def read(self, dialogue: Record) -> Reading: ...

    @abstractmethod
    def predictions(self, reading: Reading) -> Any:
        """Log-probabilities [answer tokens, vocabulary] of what follows each token before an answer's."""

    def close(self) -> None: ...


def compare(reference: Scorer, model: Scorer, dialogues: Sequence[Record]) -> Divergence:
    """`model` against `reference` over the answers of the dialogues."""
    divergences: list[Any] = []
    same: list[Any] = []
    misread = 0
    for dialogue in dialogues:
        expected = reference.read(dialogue)
        if model.read(dialogue) != expected:
            misread += 1
            continue
        right, other = reference.predictions(expected), model.predictions(expected)
        width = min(right.shape[-1], other.shape[-1])  # rows beyond the vocabulary are padding
        right, other = right[:, :width], other[:, :width]
        divergences.append((np.exp(right) * (right - other)).sum(-1))
        same.append(right.argmax(-1) == other.argmax(-1))
    if not divergences:
        return Divergence(0, float("inf"), 0.0, misread)
    kl, top = np.concatenate(divergences), np.concatenate(same)
    return Divergence(len(kl), float(kl.mean()), float(top.mean()), misread)


class FolderScorer(Scorer):
    """A Hugging Face folder, with or without an adapter, in float32 on the CPU."""

    def __init__(self, folder: Path, adapter: Path | None = None) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._torch = torch
        beside = adapter is not None and (adapter / "tokenizer_config.json").is_file()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(adapter if beside else folder)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        if adapter is not None:
            from peft import PeftModel

            from fine_tuning.quiet_libraries import without_deprecations

            with without_deprecations():
                model = PeftModel.from_pretrained(model, str(adapter))
        self._model = model.eval()
        self._render = template_renderer(
            self._tokenizer.chat_template or PLAIN_TEMPLATE,
            bos=self._tokenizer.bos_token or "",
            eos=self._tokenizer.eos_token or "",
        )

    def read(self, dialogue: Record) -> Reading:
        return _reading(
            dialogue, self._render, lambda text: self._tokenizer(text, add_special_tokens=False)["input_ids"]
        )

    def predictions(self, reading: Reading) -> Any:
        with self._torch.no_grad():
            ids = self._torch.tensor([reading.tokens])
            logits = self._model(input_ids=ids).logits[0, reading.answer - 1 : -1]
            return logits.float().log_softmax(-1).numpy()


class GgufScorer(Scorer):
    """A GGUF file, with or without an adapter beside it."""

    def __init__(
        self, path: Path, adapter: Path | None = None, *, window: int = 512, threads: int = 1
    ) -> None:
        import llama_cpp

        self._llm: Any = llama_cpp.Llama(
            str(path),
            n_ctx=window,
            n_batch=window,
            n_ubatch=window,
            n_threads=threads,
            n_threads_batch=threads,
            lora_path=str(adapter) if adapter else None,
            logits_all=True,
            verbose=False,
        )
        self._render = template_renderer(
            self._llm.metadata.get("tokenizer.chat_template") or PLAIN_TEMPLATE,
            bos=self._text(self._llm.token_bos()),
            eos=self._text(self._llm.token_eos()),
        )

    def read(self, dialogue: Record) -> Reading:
        return _reading(
            dialogue,
            self._render,
            lambda text: self._llm.tokenize(text.encode(), add_bos=False, special=True),
        )

    def predictions(self, reading: Reading) -> Any:
        self._llm.reset()
        self._llm.eval(list(reading.tokens))
        logits = np.array(self._llm.scores[reading.answer - 1 : len(reading.tokens) - 1], dtype=np.float32)
        logits -= logits.max(-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))

    def close(self) -> None:
        self._llm.close()

    def _text(self, token: int) -> str:
        return self._llm.detokenize([token], special=True).decode("utf-8", "replace") if token >= 0 else ""


def _reading(dialogue: Record, render: Any, tokenize: Any) -> Reading:
    asked = tokenize(render(list(dialogue.prompt), add_generation_prompt=True))
    whole = tokenize(render([*dialogue.prompt, *dialogue.completion], add_generation_prompt=False))
    return Reading(tuple(whole), min(len(asked), len(whole) - 1))
