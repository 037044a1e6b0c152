"""Choosing the next token of one answer, by llama.cpp's samplers.

Order: grammar, repetition penalty, top_k, top_p, min_p, temperature. A grammar is checked lazily,
as llama.cpp's own tools do: the token chosen without it is tested first, and only when it is refused
the whole vocabulary is filtered and chosen from again.
"""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

from orchestrator_core.engine.json_grammar import schema_grammar
from orchestrator_core.engine.native import lib
from orchestrator_core.errors import InvalidRequest
from orchestrator_core.generation import GenerationConfig

PENALTY_LAST_N = 64
"""Answer tokens the repetition penalty looks back on: llama.cpp's default. The prompt does not
count: quoting the question or a document is no repetition."""

MAX_NESTING = 200
"""Brackets inside brackets in a grammar: llama.cpp's parser is recursive, and a stack overflow would kill us."""

_CLOSING = {'"': '"', "[": "]", "#": "\n"}
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class GrammarExhausted(Exception):
    """The grammar allows no token at all from here: the answer cannot go on."""


class Sampler:
    """The sampling state of one answer.

    Raises:
        InvalidRequest: the grammar or JSON schema cannot be used.
    """

    def __init__(self, vocab: Any, vocab_size: int, config: GenerationConfig) -> None:
        self._grammar = _grammar(vocab, config)
        self._chain = _chain(config, vocab_size)
        self._size = vocab_size
        self._closed = False

    def sample(self, context: Any, index: int) -> int:
        """The next token, from the logits at this batch index; the state moves on.

        Raises:
            GrammarExhausted
        """
        if self._grammar is None:
            return int(lib.llama_sampler_sample(self._chain, context, index))
        logits = np.ctypeslib.as_array(lib.llama_get_logits_ith(context, index), shape=(self._size,))
        token = self._choose(logits, constrained=False)
        if not self._allows(token):
            token = self._choose(logits, constrained=True)
        lib.llama_sampler_accept(self._grammar, token)
        lib.llama_sampler_accept(self._chain, token)
        return token

    def replay(self, tokens: Sequence[int]) -> None:
        """Take over tokens of this answer that were sampled before a seam.

        Raises:
            InvalidRequest: they do not follow the grammar.
        """
        for token in tokens:
            if self._grammar is not None:
                if not self._allows(token):
                    raise InvalidRequest("The text to continue from does not follow the grammar.")
                lib.llama_sampler_accept(self._grammar, token)
            lib.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        lib.llama_sampler_free(self._chain)
        if self._grammar is not None:
            lib.llama_sampler_free(self._grammar)

    def _choose(self, logits: Any, *, constrained: bool) -> int:
        candidates = np.empty(self._size, dtype=_CANDIDATE)
        candidates["id"] = np.arange(self._size, dtype=np.int32)
        candidates["logit"] = logits
        candidates["p"] = 0.0
        array = _array(candidates)
        if constrained:
            lib.llama_sampler_apply(self._grammar, ctypes.byref(array))
            if not np.isfinite(candidates["logit"]).any():
                raise GrammarExhausted
        lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        return int(array.data[array.selected].id)

    def _allows(self, token: int) -> bool:
        single = np.array([(token, 1.0, 0.0)], dtype=_CANDIDATE)
        array = _array(single)
        lib.llama_sampler_apply(self._grammar, ctypes.byref(array))
        return bool(np.isfinite(single["logit"][0]))


def _array(candidates: Any) -> Any:
    data = candidates.ctypes.data_as(lib.llama_token_data_p)
    return lib.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)


def _chain(config: GenerationConfig, vocab_size: int) -> Any:
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())

    def add(sampler: Any) -> None:
        lib.llama_sampler_chain_add(chain, sampler)

    if config.repetition_penalty != 1.0:
        add(lib.llama_sampler_init_penalties(vocab_size, PENALTY_LAST_N, config.repetition_penalty, 0.0, 0.0))
    if config.is_greedy:
        add(lib.llama_sampler_init_greedy())
        return chain
    if 0 < config.top_k < vocab_size:
        add(lib.llama_sampler_init_top_k(config.top_k))
    if config.top_p < 1.0:
        add(lib.llama_sampler_init_top_p(config.top_p, 1))
    if config.min_p > 0.0:
        add(lib.llama_sampler_init_min_p(config.min_p, 1))
    add(lib.llama_sampler_init_temp(config.temperature))
    seed = config.seed if config.seed is not None else secrets.randbits(32)
    # llama.cpp takes its largest seed for "choose one".
    add(lib.llama_sampler_init_dist(min(seed, 2**32 - 2)))
    return chain


def _grammar(vocab: Any, config: GenerationConfig) -> Any:
    text = config.grammar
    if config.json_schema is not None:
        text = _schema_grammar(config.json_schema)
    if text is None:
        return None
    usable = text.strip() and _nesting(text) <= MAX_NESTING
    grammar = lib.llama_sampler_init_grammar(vocab, text.encode("utf-8"), b"root") if usable else None
    if not grammar:
        what = "grammar" if config.grammar is not None else "JSON schema"
        raise InvalidRequest(
            f"The {what} cannot be used: llama.cpp does not accept it.",
            hint="A GBNF grammar needs a rule named root, no left recursion, and at most "
            f"{MAX_NESTING} brackets inside each other.",
            param="grammar" if config.grammar is not None else "json_schema",
        )
    return grammar


def _schema_grammar(schema: dict[str, Any]) -> str:
    try:
        return schema_grammar(schema)
    except Exception as error:  # The converter raises whatever a wrong schema happens to cause.
        reason = str(error) or type(error).__name__
        raise InvalidRequest(
            f"The JSON schema cannot be turned into a grammar: {reason[:300]}", param="json_schema"
        ) from error


def _nesting(grammar: str) -> int:
    """The deepest nesting of brackets outside of literals and character classes."""
    depth = deepest = 0
    closing = ""
    escaped = False
    for character in grammar:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = bool(closing)
        elif closing:
            closing = "" if character == closing else closing
        elif character in _CLOSING:
            closing = _CLOSING[character]
        elif character == "(":
            depth += 1
            deepest = max(deepest, depth)
        elif character == ")":
            depth -= 1
    return deepest
