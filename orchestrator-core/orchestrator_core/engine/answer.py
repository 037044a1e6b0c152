"""One answer inside the engine process: sampling state, text, and when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestrator_core.backend import FinishReason, Token, TokenLogprob
from orchestrator_core.engine.logprobs import token_logprob
from orchestrator_core.engine.sampling import ConstraintExhausted, Sampler
from orchestrator_core.engine.tokenizer import Tokenizer
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.text.answer import AnswerText


class SequenceAnswer:
    """Turns logits into released text.

    Args:
        sampler: of this answer; owned, `close` frees it.
        prompt_tokens: length of the prompt, for the usage.
        limit: tokens it may have; the window may lower it later.
        seen: text of it that was shown before a seam.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        sampler: Sampler,
        ends: frozenset[int],
        config: GenerationConfig,
        *,
        prompt_tokens: int,
        limit: int,
        seen: str,
    ) -> None:
        self._tokenizer = tokenizer
        self._sampler = sampler
        self._ends = ends
        self._top = config.top_logprobs
        self._logprobs: list[TokenLogprob] = []
        """Of tokens whose text is not released yet."""
        self._visible = tokenizer.control_tokens(config.visible_tokens)
        self._text = AnswerText(config.stop, seen)
        self.limit = limit
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = 0
        self.cached_tokens = 0
        self.reason: FinishReason | None = None

    def sample(self, context: Any, index: int) -> tuple[int, Token | None]:
        """The next token and the text it releases; afterwards `reason` says whether the answer is over."""
        token, text = self._sample(context, index)
        if text is None or not self._logprobs:
            return token, text
        released, self._logprobs = tuple(self._logprobs), []
        return token, replace(text, logprobs=released)

    def _sample(self, context: Any, index: int) -> tuple[int, Token | None]:
        try:
            token = self._sampler.sample(context, index)
        except ConstraintExhausted:
            return -1, self.end(FinishReason.STOP)
        if token in self._ends:
            return token, self.end(FinishReason.STOP)
        self.completion_tokens += 1
        if self._top is not None:
            self._logprobs.append(token_logprob(context, index, token, self._top, self._tokenizer))
        text = self._text.feed(self._visible.get(token) or self._tokenizer.piece(token))
        if self._text.stopped:
            self.reason = FinishReason.STOP
        elif self.completion_tokens >= self.limit:
            return token, _joined(text, self.end(FinishReason.LENGTH))
        return token, text

    def end(self, reason: FinishReason) -> Token | None:
        """End the answer for this reason; text that was held back."""
        self.reason = reason
        return self._text.flush(cut_off=reason is not FinishReason.STOP)

    def usage(self) -> Sequence[int]:
        return self.prompt_tokens, self.completion_tokens, self.cached_tokens

    def close(self) -> None:
        self._sampler.close()


def _joined(first: Token | None, second: Token | None) -> Token | None:
    if first is None or second is None:
        return first or second
    return Token(first.text + second.text, first.count + second.count)
