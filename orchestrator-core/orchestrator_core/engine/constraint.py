"""What an answer may say next: a JSON schema, followed by llguidance, or a GBNF grammar, by llama.cpp."""

from __future__ import annotations

import ctypes
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from orchestrator_core.engine.json_grammar import schema_grammar
from orchestrator_core.engine.native import lib
from orchestrator_core.engine.tokenizer import Tokenizer
from orchestrator_core.errors import InvalidRequest
from orchestrator_core.generation import GenerationConfig

MAX_NESTING = 200
"""Brackets inside brackets in a GBNF grammar: llama.cpp's parser is recursive, and a stack overflow would
kill us."""

CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""llama.cpp's `llama_token_data`."""

_CLOSING = {'"': '"', "[": "]", "#": "\n"}


class Constraint(Protocol):
    """The state of one answer."""

    def allows(self, token: int) -> bool: ...

    def restrict(self, candidates: Any) -> None:
        """Sets the logits of all tokens that cannot come next to minus infinity.

        Args:
            candidates: array of `CANDIDATE`, one per token of the vocabulary, in order.
        """

    def accept(self, token: int) -> None: ...

    def close(self) -> None: ...


class Constraints:
    """Makes the constraints for one model.

    Args:
        vocab: llama.cpp's vocabulary.
        tokenizer: of this vocabulary.
    """

    def __init__(self, vocab: Any, tokenizer: Tokenizer) -> None:
        self._vocab = vocab
        self._tokenizer = tokenizer

    def of(self, config: GenerationConfig) -> Constraint | None:
        """
        Raises:
            InvalidRequest: the grammar or the schema cannot be used.
        """
        if config.json_schema is not None:
            return SchemaConstraint(self._tokens, config.json_schema)
        return None if config.grammar is None else GrammarConstraint(self._vocab, config.grammar)

    @cached_property
    def _tokens(self) -> LLTokenizer:
        """Takes some tenths of a second for a large vocabulary, so only who needs it waits."""
        ends = sorted(self._tokenizer.ends())
        return LLTokenizer(TokenizerWrapper(_Vocabulary(self._tokenizer)), eos_token=ends or None)


class SchemaConstraint:
    def __init__(self, tokenizer: LLTokenizer, schema: dict[str, Any]) -> None:
        try:
            self._ends = frozenset(tokenizer.eos_tokens)
            self._matcher = LLMatcher(tokenizer, schema_grammar(schema), log_level=0)
            complaint = self._matcher.get_error()
        except ValueError as error:
            complaint = str(error)
        if complaint:
            raise InvalidRequest(f"The JSON schema cannot be used: {complaint[:300]}.", param="json_schema")

    def allows(self, token: int) -> bool:
        if self._matcher.is_stopped():  # The text is complete, or llguidance gave up: it can only end.
            return token in self._ends
        return bool(self._matcher.validate_tokens([token]))

    def restrict(self, candidates: Any) -> None:
        mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(mask, bitorder="little")[: len(candidates)]
        candidates["logit"][: len(allowed)][allowed == 0] = -np.inf
        candidates["logit"][len(allowed) :] = -np.inf

    def accept(self, token: int) -> None:
        self._matcher.consume_token(token)

    def close(self) -> None:
        """Nothing to free by hand."""


class _Vocabulary:
    """The tokens as llguidance wants them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.bos_token_id = None if tokenizer.bos < 0 else tokenizer.bos
        self.eos_token_id = max(0, tokenizer.eos)
        pieces = [tokenizer.piece(token) for token in range(tokenizer.size)]
        self.special_token_ids = [token for token, piece in enumerate(pieces) if not piece]
        names = {token: b"%d" % token for token in self.special_token_ids}
        # 0xFF, which is in no UTF-8 text, marks special tokens there: a byte token of it is none.
        self.tokens = [names.get(token, piece).strip(b"\xff") for token, piece in enumerate(pieces)]

    def __call__(self, text: bytes) -> list[int]:
        return self._tokenizer.middle(text.decode("utf-8", "replace"), parse_control=False)


class GrammarConstraint:
    def __init__(self, vocab: Any, grammar: str) -> None:
        usable = grammar.strip() and _nesting(grammar) <= MAX_NESTING
        self._sampler = (
            lib.llama_sampler_init_grammar(vocab, grammar.encode("utf-8"), b"root") if usable else None
        )
        if not self._sampler:
            raise InvalidRequest(
                "The grammar cannot be used: llama.cpp does not accept it.",
                hint="A GBNF grammar needs a rule named root, no left recursion, and at most "
                f"{MAX_NESTING} brackets inside each other.",
                param="grammar",
            )

    def allows(self, token: int) -> bool:
        single = np.array([(token, 1.0, 0.0)], dtype=CANDIDATE)
        self.restrict(single)
        return bool(np.isfinite(single["logit"][0]))

    def restrict(self, candidates: Any) -> None:
        array = token_array(candidates)
        lib.llama_sampler_apply(self._sampler, ctypes.byref(array))

    def accept(self, token: int) -> None:
        lib.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        lib.llama_sampler_free(self._sampler)


def token_array(candidates: Any) -> Any:
    """llama.cpp's view of an array of `CANDIDATE`, which must outlive it."""
    data = candidates.ctypes.data_as(lib.llama_token_data_p)
    return lib.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)


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
