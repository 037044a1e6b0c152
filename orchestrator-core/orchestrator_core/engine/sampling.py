"""Choosing the next token of one answer, by llama.cpp's samplers.

Order: constraint, bias, penalties, top_k, top_p, min_p, temperature. A constraint is checked lazily,
as llama.cpp's own tools do: the token chosen without it is tested first, and only when it is refused
the whole vocabulary is filtered and chosen from again.
"""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

from orchestrator_core.engine.constraint import CANDIDATE, Constraint, token_array
from orchestrator_core.engine.native import lib
from orchestrator_core.errors import InvalidRequest
from orchestrator_core.generation import GenerationConfig

PENALTY_LAST_N = 64
"""Answer tokens the repetition penalty looks back on: llama.cpp's default. The prompt does not
count: quoting the question or a document is no repetition."""

MAX_PENALTY_LAST_N = 32_768
"""Answer tokens that presence and frequency penalties look back on: the whole answer, as the published API
says, in all but the longest."""


class ConstraintExhausted(Exception):
    """The constraint allows no token at all from here: the answer cannot go on."""


class Sampler:
    """The sampling state of one answer.

    Args:
        constraint: what the answer has to follow; owned, `close` frees it.
    """

    def __init__(self, constraint: Constraint | None, vocab_size: int, config: GenerationConfig) -> None:
        self._constraint = constraint
        self._chain = _chain(config, vocab_size)
        self._size = vocab_size
        self._closed = False

    def sample(self, context: Any, index: int) -> int:
        """The next token, from the logits at this batch index; the state moves on.

        Raises:
            ConstraintExhausted
        """
        if self._constraint is None:
            return int(lib.llama_sampler_sample(self._chain, context, index))
        logits = np.ctypeslib.as_array(lib.llama_get_logits_ith(context, index), shape=(self._size,))
        token = self._choose(logits, None)
        if not self._constraint.allows(token):
            token = self._choose(logits, self._constraint)
        self._constraint.accept(token)
        lib.llama_sampler_accept(self._chain, token)
        return token

    def replay(self, tokens: Sequence[int]) -> None:
        """Take over tokens of this answer that were sampled before a seam.

        Raises:
            InvalidRequest: they do not follow the constraint.
        """
        for token in tokens:
            if self._constraint is not None:
                if not self._constraint.allows(token):
                    raise InvalidRequest("The text to continue from does not follow the grammar.")
                self._constraint.accept(token)
            lib.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        lib.llama_sampler_free(self._chain)
        if self._constraint is not None:
            self._constraint.close()

    def _choose(self, logits: Any, constraint: Constraint | None) -> int:
        candidates = np.empty(self._size, dtype=CANDIDATE)
        candidates["id"] = np.arange(self._size, dtype=np.int32)
        candidates["logit"] = logits
        candidates["p"] = 0.0
        if constraint is not None:
            constraint.restrict(candidates)
            if not np.isfinite(candidates["logit"]).any():
                raise ConstraintExhausted
        array = token_array(candidates)
        lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        return int(array.data[array.selected].id)


def _chain(config: GenerationConfig, vocab_size: int) -> Any:
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())

    def add(sampler: Any) -> None:
        lib.llama_sampler_chain_add(chain, sampler)

    if config.logit_bias:
        biases = [(token, bias) for token, bias in config.logit_bias.items() if 0 <= token < vocab_size]
        array = (lib.llama_logit_bias * len(biases))(*biases)
        add(lib.llama_sampler_init_logit_bias(vocab_size, len(biases), array))
    if config.repetition_penalty != 1.0:
        add(lib.llama_sampler_init_penalties(vocab_size, PENALTY_LAST_N, config.repetition_penalty, 0.0, 0.0))
    if config.frequency_penalty or config.presence_penalty:
        reach = config.limit(MAX_PENALTY_LAST_N)
        penalties = 1.0, config.frequency_penalty, config.presence_penalty
        add(lib.llama_sampler_init_penalties(vocab_size, reach, *penalties))
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
