"""Models that answer questions greedily, for evaluation: GGUF through llama.cpp, or a Hugging Face folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fine_tuning.chat_format import CHAT_TEMPLATE


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; the default is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int = 1


GREEDY = Sampling()
CHAT_DEFAULTS = Sampling(temperature=0.7, top_p=0.9, top_k=50, repetition_penalty=1.15)
"""What a chat uses when nobody asks for anything else."""


PENALTY_WINDOW = 64
"""Tokens the repetition penalty looks back on, as in the engine."""


class Answerer(ABC):
    """One loaded model."""

    @abstractmethod
    def answer(
        self, question: str, *, system: str = "", max_tokens: int = 96, sampling: Sampling = GREEDY
    ) -> str:
        """The answer to one question, with a system text in front of it where given."""

    @abstractmethod
    def close(self) -> None: ...


def open_model(path: Path, *, threads: int = 2, window: int = 2048) -> Answerer:
    """A GGUF file, or a folder with a config.json.

    Raises:
        FileNotFoundError: neither.
    """
    if path.is_file():
        return GgufAnswerer(path, threads=threads, window=window)
    if (path / "config.json").is_file():
        return FolderAnswerer(path, threads=threads)
    raise FileNotFoundError(f"{str(path)!r} is neither a GGUF file nor a folder with a config.json.")


class GgufAnswerer(Answerer):
    """Runs in this process; the cache of the last prompt is reused where the beginning is the same."""

    def __init__(self, path: Path, *, threads: int = 2, window: int = 2048) -> None:
        import llama_cpp

        self.llm: Any = llama_cpp.Llama(
            str(path), n_ctx=window, n_threads=threads, n_threads_batch=threads, verbose=False, seed=1
        )
        metadata = self.llm.metadata
        self._render = _renderer(
            metadata.get("tokenizer.chat_template") or CHAT_TEMPLATE,
            eos=self._text(self.llm.token_eos()),
        )

    def answer(
        self, question: str, *, system: str = "", max_tokens: int = 96, sampling: Sampling = GREEDY
    ) -> str:
        prompt = self._render(_messages(question, system))
        prompt_tokens = self.llm.tokenize(prompt.encode(), add_bos=True, special=True)
        self.llm.set_seed(sampling.seed)
        # Not create_completion: it does not count tokens while a character is incomplete, and a
        # model that babbles bytes never completes one.
        produced = self.llm.generate(
            prompt_tokens,
            temp=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=0.0,
            repeat_penalty=1.0,
            logits_processor=_penalty(len(prompt_tokens), sampling.repetition_penalty),
        )
        end = self.llm.token_eos()
        tokens = list(takewhile(lambda token: token != end, islice(produced, max_tokens)))
        return str(self.llm.detokenize(tokens).decode("utf-8", "replace")).strip()

    def close(self) -> None:
        self.llm.close()

    def _text(self, token: int) -> str:
        return str(self.llm.detokenize([token], special=True).decode("utf-8", "replace"))


class FolderAnswerer(Answerer):
    """transformers on the CPU in float32; greedy only."""

    def __init__(self, path: Path, *, threads: int = 2) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(threads)
        self._torch = torch
        self.tokenizer: Any = AutoTokenizer.from_pretrained(path)
        self.model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        self._render = _renderer(self.tokenizer.chat_template or CHAT_TEMPLATE, self.tokenizer.eos_token)

    def answer(
        self, question: str, *, system: str = "", max_tokens: int = 96, sampling: Sampling = GREEDY
    ) -> str:
        prompt = self.tokenizer.bos_token + self._render(_messages(question, system))
        ids = self.tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        if sampling != GREEDY:
            raise ValueError("A Hugging Face folder is only evaluated greedily; export it as GGUF to sample.")
        with self._torch.no_grad():
            out = self.model.generate(
                ids,
                attention_mask=self._torch.ones_like(ids),
                max_new_tokens=max_tokens,
                pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id,
                do_sample=False,
            )
        return str(self.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)).strip()

    def close(self) -> None:
        del self.model


def _penalty(prompt: int, penalty: float) -> Any:
    """The repetition penalty as the engine applies it: on the answer, not on the prompt's words.
    llama-cpp-python's own counts the prompt, and makes the words of a question costly to use."""
    from llama_cpp import LogitsProcessorList

    def penalised(ids: Any, logits: Any) -> Any:
        said = ids[prompt:][-PENALTY_WINDOW:]
        logits[said] = np.where(logits[said] > 0, logits[said] / penalty, logits[said] * penalty)
        return logits

    return LogitsProcessorList([penalised] if penalty != 1.0 else [])


def _messages(question: str, system: str) -> list[dict[str, str]]:
    asked = [{"role": "user", "content": question}]
    return [{"role": "system", "content": system}, *asked] if system else asked


def _renderer(template: str, eos: str) -> Any:
    """Renders messages without BOS, which is added as a token."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    compiled = environment.from_string(template)

    def render(messages: list[dict[str, str]]) -> str:
        return compiled.render(messages=messages, bos_token="", eos_token=eos, add_generation_prompt=True)

    return render


def _refuse(message: str) -> None:
    raise ValueError(message)
