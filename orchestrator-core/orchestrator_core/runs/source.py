"""Where a run's text comes from: the backend of this tier, or whatever else can say tokens.

A source is asked for an attempt, and after a failure for the next one, which goes on after the
text that was shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from orchestrator_core.backend import ChatBackend, FinishReason, Generation, Token, Usage
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.runs.continuation import remaining_config
from orchestrator_core.runs.run import Run
from orchestrator_core.text.answer_reader import AnswerReader, Part, Said, Thought


@dataclass(frozen=True, slots=True)
class Seam:
    """Somebody else goes on; said by a source that passes on what another tier says."""

    tier: str
    model: str
    reason: str


class Attempt(Protocol):
    """One attempt at the rest of an answer; every `backends.base.Generation` is one."""

    @property
    def usage(self) -> Usage: ...

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why it ended; None while it goes on, and when it was stopped."""

    def __iter__(self) -> Iterator[Token | Seam]: ...

    def cancel(self) -> None:
        """Stop soon, because the run is cancelled or the server stops; from any thread."""


class Source(Protocol):
    def attempt(self, run: Run) -> Attempt | None:
        """Go on after the text shown so far; None when the run may not have more tokens.

        Raises:
            OrchestratorError: as while iterating the attempt.
        """

    def speaker(self, run: Run) -> tuple[str, str]:
        """Tier and model that say the next token."""

    def close(self) -> None:
        """The run is over, or never began. Idempotent, from any thread."""


class BackendSource:
    """The model of this tier."""

    def __init__(self, backend: ChatBackend, tier: str) -> None:
        self._backend = backend
        self._tier = tier

    def attempt(self, run: Run) -> Attempt | None:
        config = remaining_config(run.spec.config, run.produced)
        if config is None:
            return None
        prompt, shown, form = run.spec.prompt, run.spec.shown + run.text, run.spec.answer_format
        if form is None:
            return _OwnAttempt(self._backend.generate(prompt, config, continue_from=shown), run, None)
        thinking = form.begins_thinking(prompt.text)
        if thinking and shown:
            # Thoughts are not kept: what is shown stands behind their end, whatever they were.
            prompt = replace(prompt, pieces=(*prompt.pieces, f"{form.thought[1]}\n\n{form.content}"))
        reader = AnswerReader(form, thinking=thinking and not shown)
        return _OwnAttempt(self._backend.generate(prompt, config, continue_from=shown), run, reader)

    def speaker(self, run: Run) -> tuple[str, str]:
        try:
            return self._tier, self._backend.describe().model
        except OrchestratorError:
            return self._tier, run.spec.model

    def close(self) -> None:
        """The backend belongs to others."""


class _OwnAttempt:
    """A generation that ends with the next token when the run is to stop: that token is not said.

    Args:
        reader: tells thoughts from text; None: all is text.
    """

    def __init__(self, generation: Generation, run: Run, reader: AnswerReader | None) -> None:
        self._generation = generation
        self._run = run
        self._reader = reader
        self._unsaid = 0
        """Tokens whose text the reader still holds."""
        self.cancel = generation.cancel

    @property
    def usage(self) -> Usage:
        return self._generation.usage

    @property
    def finish_reason(self) -> FinishReason | None:
        return self._generation.finish_reason

    def __iter__(self) -> Iterator[Token]:
        tokens = iter(self._generation)
        try:
            for token in tokens:
                if self._run.stop_wanted:
                    return
                if self._reader is None or token.is_thought:
                    yield token
                    continue
                self._unsaid += token.count
                yield from self._read(self._reader.feed(token.text))
            if self._reader is not None:
                yield from self._read(self._reader.finish())
        finally:
            close = getattr(tokens, "close", None)
            if close is not None:
                close()

    def _read(self, parts: Iterable[Part]) -> Iterator[Token]:
        for part in parts:
            if isinstance(part, Said | Thought):
                count, self._unsaid = self._unsaid, 0
                yield Token(part.text, count, is_thought=isinstance(part, Thought))
