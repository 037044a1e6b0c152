"""A loaded Hugging Face model at work: text to tokens, tokens to logits, logits to text.

Imported lazily, by `TransformersBackend.load` only.
"""

from __future__ import annotations

import gc
import inspect
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoTokenizer, DynamicCache
from transformers.generation import logits_process

from orchestrator_core.backend import SpecialTokens
from orchestrator_core.backends.transformers_load import explained, first_line, out_of_memory
from orchestrator_core.errors import BackendError
from orchestrator_core.generation import GenerationConfig

log = logging.getLogger(__name__)

PENALTY_LAST_N = 64
"""Answer tokens the repetition penalty looks back on, as in the llama.cpp engine, so that one
setting means the same everywhere. The prompt does not count: quoting it is no repetition."""

CONTEXT_TOKENS = 6
"""Tokens before the answer that are decoded with it, so that a leading space is not lost."""

LONGEST_CHARACTER = 8
"""Tokens after which text that still ends in U+FFFD is taken to mean it: 4 bytes make a character."""


class Tokens:
    """The tokenizer: prompts to ids, in the way `Prompt` asks for."""

    def __init__(self, source: str) -> None:
        with explained(source):
            self.tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        self.bos: int | None = self.tokenizer.bos_token_id
        with_special = self.tokenizer("a").input_ids
        self.adds_bos = self.bos is not None and with_special[:1] == [self.bos]
        first = self.tokenizer.convert_ids_to_tokens(self._plain("a"))[0]
        # Such a tokenizer (SentencePiece) puts a space before every text it is given.
        self._adds_space = first.startswith("▁")

    def prompt(self, pieces: Sequence[str]) -> list[int]:
        """Ids of a prompt: each piece on its own, BOS in front unless the text brings it."""
        ids: list[int] = []
        for piece in pieces:
            if piece:
                ids += self.continued(piece) if ids else self._plain(piece)
        if self.adds_bos and ids[:1] != [self.bos]:
            ids.insert(0, cast(int, self.bos))
        return ids

    def continued(self, text: str) -> list[int]:
        """Ids of text that follows other text: no space is put before it."""
        if not self._adds_space or not text:
            return self._plain(text)
        anchor = self._plain("\n")
        ids = self._plain("\n" + text)
        return ids[len(anchor) :] if ids[: len(anchor)] == anchor else self._plain(text)

    def decode(self, ids: Sequence[int]) -> str:
        return cast(
            str,
            self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False),
        )

    def special(self) -> SpecialTokens:
        marked = [str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        return SpecialTokens(
            bos=self.tokenizer.bos_token or "",
            eos=self.tokenizer.eos_token or "",
            control=frozenset([*self.tokenizer.all_special_tokens, *marked]),
            adds_bos=self.adds_bos,
        )

    def template(self, *, tools: bool = False) -> str | None:
        """The chat template; of several named ones that for tools, or the default."""
        named = self.tokenizer.chat_template
        if not isinstance(named, dict):
            return cast("str | None", named)
        return (named.get("tool_use") if tools else None) or named.get("default")

    def _plain(self, text: str) -> list[int]:
        # verbose: a text longer than the window is counted here and refused elsewhere.
        return cast(list[int], self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)


def tokens_of(folder: str, adapter: str | None, model: Any) -> Tokens:
    """The tokenizer beside the adapter, which it was trained with; else the model's own."""
    if adapter is not None and (Path(adapter) / "tokenizer_config.json").is_file():
        tokens = Tokens(adapter)
        rows = model.get_input_embeddings().weight.shape[0]
        if len(tokens.tokenizer) <= rows:
            return tokens
        log.warning(
            "The tokenizer beside the adapter has %d tokens, the model only %d; using the model's own.",
            len(tokens.tokenizer),
            rows,
        )
    return Tokens(folder)


class TokenText:
    """Ids to whole characters, one id at a time.

    A tokenizer decodes a lone id differently from one in its surroundings (spaces, half
    characters), so the new text is the difference between decoding with and without the new ids.
    """

    def __init__(self, tokens: Tokens, before: Sequence[int]) -> None:
        self._tokens = tokens
        self._ids = list(before[-CONTEXT_TOKENS:])
        self._shown = len(self._ids)

    def push(self, token: int) -> str:
        """Text that is complete with this token; may be empty."""
        self._ids.append(token)
        new = self._new()
        unfinished = new.endswith("\ufffd") and len(self._ids) - self._shown < LONGEST_CHARACTER
        return "" if unfinished or not new else self._advance(new)

    def flush(self, *, cut_off: bool) -> str:
        """What is left at the end; half a character of an answer that was cut off is dropped."""
        new = self._new()
        return new.rstrip("\ufffd") if cut_off else new

    def _new(self) -> str:
        before = self._tokens.decode(self._ids[: self._shown])
        return self._tokens.decode(self._ids)[len(before) :]

    def _advance(self, new: str) -> str:
        self._ids = self._ids[-CONTEXT_TOKENS:]
        self._shown = len(self._ids)
        return new


class TorchSampler:
    """Chooses the next token of one answer.

    Order as in the llama.cpp engine: bias, penalties, top_k, top_p, min_p, temperature.
    """

    def __init__(self, config: GenerationConfig, device: Any) -> None:
        self._greedy = config.is_greedy
        self._generator = torch.Generator(device=device)
        if config.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(config.seed)
        self._penalty = (
            logits_process.RepetitionPenaltyLogitsProcessor(config.repetition_penalty)
            if config.repetition_penalty != 1.0
            else None
        )
        self._bias = config.logit_bias
        self._presence, self._frequency = config.presence_penalty, config.frequency_penalty
        self._steps = [] if self._greedy else _warpers(config)

    def choose(self, logits: Any, answer: Sequence[int]) -> int:
        """The next token, from the last position's logits and the answer so far.

        Raises:
            BackendError: the logits are not numbers.
        """
        scores = logits.float().reshape(1, -1).clone()
        recent = torch.tensor([list(answer[-PENALTY_LAST_N:])], dtype=torch.long, device=scores.device)
        for token, bias in self._bias.items():
            if 0 <= token < scores.shape[-1]:
                scores[0, token] += bias
        if answer and (self._presence or self._frequency):
            counts = torch.bincount(torch.tensor(answer, device=scores.device), minlength=scores.shape[-1])[
                : scores.shape[-1]
            ]
            scores = scores - self._presence * (counts > 0) - self._frequency * counts
        if self._penalty is not None and answer:
            scores = self._penalty(recent, scores)
        if self._greedy:
            return int(scores.argmax())
        for step in self._steps:
            scores = step(recent, scores)
        chances = torch.softmax(scores, dim=-1)
        if not torch.isfinite(chances).all():
            raise BackendError(
                "The model's numbers overflowed: no token has a probability.",
                hint="This happens with float16; try another model, or model.device cpu.",
            )
        return int(torch.multinomial(chances, 1, generator=self._generator))


def _warpers(config: GenerationConfig) -> list[Any]:
    steps: list[Any] = []
    if config.top_k:
        steps.append(logits_process.TopKLogitsWarper(config.top_k))
    if config.top_p < 1.0:
        steps.append(logits_process.TopPLogitsWarper(config.top_p))
    if config.min_p > 0.0:
        steps.append(logits_process.MinPLogitsWarper(config.min_p))
    if config.temperature != 1.0:
        steps.append(logits_process.TemperatureLogitsWarper(config.temperature))
    return steps


class LoadedModel:
    """The loaded model. One forward pass runs at a time; answers take turns between passes."""

    def __init__(self, model: Any, tokens: Tokens) -> None:
        self._model = model
        self._turn = threading.Lock()
        self._kept: tuple[list[int], Any] | None = None
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._config = bare.config
        self.device = bare.get_input_embeddings().weight.device
        takes = inspect.signature(bare.forward).parameters
        self._options = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self._advice = bare.generation_config
        self.end_ids = _end_ids(bare, tokens)

    @property
    def context_length(self) -> int | None:
        """What the model was trained for, where its configuration says so."""
        length = getattr(self._config.get_text_config(decoder=True), "max_position_embeddings", None)
        return length if isinstance(length, int) and length > 0 else None

    def advised_sampling(self) -> dict[str, float]:
        """What the model's `generation_config.json` states of the fields of GenerationConfig; they have
        transformers' names."""
        stated = {} if self._advice is None else self._advice.to_diff_dict()
        fields = GenerationConfig.model_fields.keys() & stated.keys()
        return {name: stated[name] for name in fields if type(stated[name]) in (int, float)}

    def begin(self, ids: Sequence[int]) -> tuple[Any, int]:
        """A cache for this prompt, and how many of its tokens are in it already.

        The cache of the last answer is taken over as far as it begins like this prompt. At least
        one token is left to compute, because its logits are needed.
        """
        with self._turn:
            kept, self._kept = self._kept, None
        if kept is not None:
            old, cache = kept
            same = next(
                (n for n, (a, b) in enumerate(zip(old, ids, strict=False)) if a != b), min(len(old), len(ids))
            )
            same = min(same, len(ids) - 1)
            if same > 0:
                with torch.inference_mode():
                    cache.crop(same - len(old))
                return cache, same
        return DynamicCache(config=self._config), 0

    def keep(self, ids: Sequence[int], cache: Any) -> None:
        """Keeps the cache of a finished answer for the next turn, in place of the one kept before."""
        # A sliding window has forgotten its beginning: it cannot be cut back.
        if cache.is_croppable and not any(cache.is_sliding):
            with self._turn:
                self._kept = (list(ids[: cache.get_seq_length()]), cache)

    def forward(self, ids: Sequence[int], cache: Any) -> Any:
        """Computes these tokens after those in the cache; logits of the last one.

        Raises:
            BackendError: the device ran out of memory (its caches are freed), or torch failed.
        """
        with self._turn:
            try:
                with torch.inference_mode():
                    batch = torch.tensor([list(ids)], device=self.device)
                    out = self._model(input_ids=batch, past_key_values=cache, use_cache=True, **self._options)
                    return out.logits[0, -1]
            except torch.OutOfMemoryError as error:
                failure = out_of_memory("answering")
                cause: Exception = error
            except RuntimeError as error:
                memory = "allocate memory" in str(error)
                failure = (
                    out_of_memory("answering")
                    if memory
                    else BackendError(f"torch failed: {first_line(error)}")
                )
                cause = error
            # The caller's frame, kept by the error, still refers to this cache: empty it.
            cache.layers.clear()
            self._kept = None
        free_memory()
        raise failure from cause.with_traceback(None)  # the traceback would keep the tensors alive


def _end_ids(model: Any, tokens: Tokens) -> frozenset[int]:
    """Tokens that end an answer, from the generation settings and the tokenizer."""
    stated = getattr(model.generation_config, "eos_token_id", None)
    ids = stated if isinstance(stated, list) else [stated]
    return frozenset(i for i in (*ids, tokens.tokenizer.eos_token_id) if isinstance(i, int))


def free_memory() -> None:
    """Gives memory that nothing refers to back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
